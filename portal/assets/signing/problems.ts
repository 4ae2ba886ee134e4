// What can stand in the way of signing, by the name of the text that tells the reader (data-text-NAME).

export type ProblemName = "no-file" | "no-password" | "not-pkcs12" | "legacy" | "wrong-password" | "no-key" | "failed";

export class Problem extends Error {
  constructor(readonly problem: ProblemName) {
    super(problem);
  }
}
