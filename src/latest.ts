/** Remembers the result made last, for what is asked again and again with the same input: the key that signs, the second it is. */

/** Makes an output anew only when the input is another one (`Object.is`) than the last time. */
export function latest<In, Out>(make: (input: In) => Out): (input: In) => Out {
  let known: { readonly input: In; readonly output: Out } | undefined;
  return (input) => {
    if (known === undefined || !Object.is(known.input, input)) known = { input, output: make(input) };
    return known.output;
  };
}
