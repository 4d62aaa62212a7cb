/** Something that the set-up needs is missing or failed; the message says what to do, so no stack is printed. */
export class SetupError extends Error {
  name = "SetupError";
}
