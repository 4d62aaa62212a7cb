/**
 * A text from a file or a model with its control characters made visible, as a terminal may be given it: an escape
 * sequence can move the cursor, overwrite what was said, or change the title and the clipboard. Lines and tabs stay.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return character === "\r" ? "" : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** Writes a command's result for people to standard output. */
export function print(text: string): void {
  process.stdout.write(printable(text));
}

/** Writes what is said beside the result to standard error. */
export function tell(text: string): void {
  process.stderr.write(printable(text));
}

/** Writes a model's answer: a file or another program gets it as it is, a terminal made visible. */
export function printAnswer(text: string): void {
  process.stdout.write(process.stdout.isTTY ? printable(text) : text);
}
