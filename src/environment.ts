/**
 * Environment variables, by name. Only `config/` reads the variables of this process, and passes them to other code.
 */
export type Environment = Readonly<Record<string, string | undefined>>;
