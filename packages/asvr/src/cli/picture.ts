import { decodeImage, type RgbImage } from "../data/images.js";
import { ConfigError, DataError } from "../errors.js";

/** A picture that an option names. @throws ConfigError for a file that is none: the call was wrong */
export async function readPicture(option: string, file: string): Promise<RgbImage> {
  try {
    return await decodeImage(file);
  } catch (error) {
    if (error instanceof DataError) throw new ConfigError(`${option} ${error.message}`, { cause: error });
    throw error;
  }
}
