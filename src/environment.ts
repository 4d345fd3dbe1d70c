/** Environment variables, by name. Only `config/` reads those of this process; everything else is given them. */
export type Environment = Readonly<Record<string, string | undefined>>;
