import { DataError } from "../errors.js";
import { encodeSpans, IMAGE_TAG, IMAGE_TOKEN_INDEX, type Span } from "../language/conversation.js";
import type { TextTokenizer } from "../language/tokenizer.js";

/**
 * The ids of a rendered prompt, each picture's place as many times as it has features. Where the vocabulary has a token
 * for pictures the text is tokenised in one piece, as Hugging Face's processors do; otherwise each side of a picture by
 * itself, as LLaVA's own code does. The bos comes first, unless the template wrote it.
 * @param imageTokenId of the model, which the vocabulary may lack
 * @param tokenCounts of the pictures, in order
 * @param vocabSize how many tokens the model has embeddings for
 * @throws DataError when the text has more or fewer places than there are pictures, and for a token that the model lacks
 */
export function promptIds(
  tokenizer: TextTokenizer,
  text: string,
  { imageTokenId, tokenCounts, vocabSize }: { imageTokenId: number; tokenCounts: readonly number[]; vocabSize: number },
): number[] {
  const ids =
    tokenizer.tokenId(IMAGE_TAG) === imageTokenId
      ? wholeIds(tokenizer, text)
      : pieceIds(tokenizer, text).map((id) => (id === IMAGE_TOKEN_INDEX ? imageTokenId : id));
  const places = ids.filter((id) => id === imageTokenId).length;
  if (places !== tokenCounts.length) {
    throw new DataError(
      `the prompt has ${places} place(s) for ${tokenCounts.length} picture(s): "${IMAGE_TAG}" stands for a picture and can't be said as text`,
    );
  }
  const beyond = ids.find((id) => id !== imageTokenId && id >= vocabSize);
  if (beyond !== undefined) {
    throw new DataError(
      `the prompt has the token ${JSON.stringify(tokenizer.decode([beyond]))} (id ${beyond}), but the model has embeddings for ${vocabSize} tokens, ids below ${vocabSize}: it was added to the tokenizer alone. Leave it out of the text, or resize the model's embeddings.`,
    );
  }
  let picture = 0;
  return ids.flatMap((id) => (id === imageTokenId ? Array<number>(tokenCounts[picture++]!).fill(id) : [id]));
}

function wholeIds(tokenizer: TextTokenizer, text: string): number[] {
  const [first, ...rest] = tokenizer.encode(text);
  if (first === undefined) return [...tokenizer.startIds];
  return startsItself(tokenizer, first) ? [first, ...rest] : [...tokenizer.startIds, first, ...rest];
}

function pieceIds(tokenizer: TextTokenizer, text: string): number[] {
  const spans = text.split(IMAGE_TAG).flatMap((piece, index): Span[] => {
    const said: Span[] = piece === "" ? [] : [{ kind: "text", text: piece, supervised: false }];
    return index === 0 ? said : [{ kind: "image" }, ...said];
  });
  const { inputIds } = encodeSpans(tokenizer, spans);
  const count = tokenizer.startIds.length;
  const second = inputIds[count];
  return count > 0 && second !== undefined && startsItself(tokenizer, second) ? inputIds.slice(count) : inputIds;
}

function startsItself(tokenizer: TextTokenizer, first: number): boolean {
  return tokenizer.bosId !== undefined && first === tokenizer.bosId;
}
