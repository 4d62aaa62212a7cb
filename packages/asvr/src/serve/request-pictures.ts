import { realpathSync } from "node:fs";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChatMessage, ChatPart } from "../chat/chat-model.js";
import { decodeImage, type RgbImage } from "../data/images.js";
import { resolveImage } from "../data/paths.js";
import { DataError } from "../errors.js";
import { ApiError } from "./api-error.js";
import type { RequestMessage } from "./chat-request.js";

export interface PictureLimits {
  /** `file://` URLs may name pictures in here; default: no files. */
  readonly folder?: string;
  /** Of a request's pictures together. */
  readonly maxPixels: number;
  /** Is told the pixels of each picture that was decoded. */
  readonly hold?: (pixels: number) => void;
}

// What the bytes are is seen from the bytes: programs that don't know their own files' types say "octet-stream" or "*".
const pattern = /^data:(image\/[a-z0-9.+*-]+|application\/octet-stream)?(;[a-z-]+=[^;,]*)*;base64,/i;

/**
 * The messages with their pictures decoded.
 * @throws ApiError for a URL that is neither data nor an allowed file, and for what is no picture or too large a one
 */
export async function readMessages(messages: readonly RequestMessage[], limits: PictureLimits): Promise<ChatMessage[]> {
  let pixelsLeft = limits.maxPixels;
  const read: ChatMessage[] = [];
  for (const [index, { role, content, place: messagePlace = `messages.${index}` }] of messages.entries()) {
    const asRole = role === "developer" ? "system" : role;
    if (typeof content === "string") {
      read.push({ role: asRole, content });
      continue;
    }
    const parts: ChatPart[] = [];
    for (const [place, part] of content.entries()) {
      if (part.type === "text") parts.push(part);
      else {
        const param = `${messagePlace}.content.${place}.image_url`;
        const image = await readPicture(part.image_url.url, param, { ...limits, maxPixels: pixelsLeft });
        const pixels = image.width * image.height;
        pixelsLeft -= pixels;
        limits.hold?.(pixels);
        parts.push({ type: "image", image: shared(image) });
      }
    }
    read.push({ role: asRole, content: parts });
  }
  return read;
}

/** In memory that threads share: it is handed to the model's thread without a copy, however many answers are asked. */
function shared({ width, height, data }: RgbImage): RgbImage {
  const own = new Uint8Array(new SharedArrayBuffer(data.length));
  own.set(data);
  return { width, height, data: own };
}

async function readPicture(url: string, param: string, limits: PictureLimits): Promise<RgbImage> {
  const refuse = (message: string) => new ApiError(400, message, { param, code: "invalid_image_url" });
  const { maxPixels } = limits;
  try {
    const start = pattern.exec(url.slice(0, 200))?.[0];
    if (start) {
      const bytes = Buffer.from(url.slice(start.length), "base64");
      return await decodeImage(bytes, { name: param, maxPixels, misnamed: "accept" });
    }
    if (url.startsWith("file:")) {
      return await decodeImage(allowedFile(url, limits.folder, refuse), { maxPixels, misnamed: "accept" });
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const [fault] = error.faults;
    throw new ApiError(400, `${param}: ${fault ? `${fault.kind}: ${fault.message}` : error.message}`, {
      param,
      code: fault?.kind === "too-many-pixels" ? "image_too_large" : "invalid_image",
    });
  }
  throw refuse(
    `${param}: ${whatInstead(url)}${limits.folder ? ", or name a file:// URL inside the allowed folder" : ""}.`,
  );
}

/** What is wrong with a URL that is not read, and what is read. */
function whatInstead(url: string): string {
  const [, type] = /^data:([^,]{0,60})/i.exec(url) ?? [];
  if (type !== undefined) return `the data URL begins with data:${type}. Send the picture as data:image/png;base64,…`;
  const scheme = /^[a-z][a-z0-9+.-]{0,20}:/i.exec(url)?.[0];
  if (scheme === undefined && /^[a-z0-9+/=_\s-]{40}/i.test(url)) {
    return "that is base64 without its head. Send the picture as a data URL: data:image/png;base64, and then this text";
  }
  return `${scheme ?? "that"} is not fetched. Send the picture as a data URL (data:image/png;base64,…)`;
}

/** @returns a path inside `folder`, by links as well */
function allowedFile(url: string, folder: string | undefined, refuse: (message: string) => ApiError): string {
  if (folder === undefined) throw refuse("file: URLs are not allowed: the server was started without --allow-files");
  let path: string;
  try {
    path = fileURLToPath(url);
  } catch {
    throw refuse("the file: URL is none of this machine: write file:///folder/picture.png");
  }
  const roots = [resolve(folder), realpathSync(folder)];
  const names = roots.map((root) => relative(root, path)).filter((name) => !name.startsWith(".."));
  // Nothing is told of what lies elsewhere, not even whether it is there.
  if (names.length === 0) throw refuse("the file lies outside of the allowed folder");
  return resolveImage(folder, names[0]!);
}
