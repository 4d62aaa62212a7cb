/** Files that grow by a JSON object a line, and that a kill may leave with a torn last one. */
import { open } from "node:fs/promises";
import { DataError } from "../../errors.js";
import { readText } from "../../files.js";

export interface JsonLine {
  readonly value: unknown;
  /** File and line, for messages. */
  readonly where: string;
}

/**
 * The objects of a file. A last line that breaks off (the machine stopped while it was written) is left out.
 * @throws DataError that names any other line that is no JSON
 */
export async function readJsonLines(file: string): Promise<JsonLine[]> {
  const lines = readText(file).split("\n");
  const torn = lines.pop()!; // empty where the last line is whole
  const read = lines.flatMap((line, index) => (line === "" ? [] : [parseLine(line, `${file}, line ${index + 1}`)]));
  // Without a newline at its end a line may still be whole, if somebody else wrote the file.
  if (torn !== "" && isWhole(torn)) read.push(parseLine(torn, `${file}, last line`));
  return read;
}

function parseLine(line: string, where: string): JsonLine {
  try {
    return { value: JSON.parse(line), where };
  } catch (error) {
    throw new DataError(`${where}: ${(error as Error).message}.`);
  }
}

function isWhole(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** Appends objects; each call's lines are on the disk when it returns. */
export class JsonLineWriter implements AsyncDisposable {
  private constructor(private readonly handle: Awaited<ReturnType<typeof open>>) {}

  /** Opens a file, made if need be; a torn last line is cut off. */
  static async open(file: string): Promise<JsonLineWriter> {
    const handle = await open(file, "a+");
    const content = await handle.readFile();
    const end = content.lastIndexOf("\n") + 1;
    if (end < content.length) {
      if (isWhole(content.toString("utf8", end))) await handle.appendFile("\n");
      else await handle.truncate(end);
    }
    return new JsonLineWriter(handle);
  }

  async append(objects: readonly object[]): Promise<void> {
    await this.handle.appendFile(objects.map((one) => `${JSON.stringify(one)}\n`).join(""));
    await this.handle.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}
