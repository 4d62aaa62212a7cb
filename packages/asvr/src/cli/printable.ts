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
