// Our side of `decode`: opens a LLaVA, reads a picture and a question, and answers token by token.
import { noGrad, setThreads, tidy } from "@asvr/torch";
import { Decoder, embedPrompt, openChatModel } from "asvr";
import type { Decoded, DecodeRun } from "../benches/decode.js";
import { peakResidentBytes } from "../harness/resident.js";

const { folder, threads, tokens, pictureSize, prompt: text } = JSON.parse(process.argv[2]!) as DecodeRun;
setThreads(threads);

const data = Uint8Array.from({ length: 3 * pictureSize ** 2 }, (_, at) => (at * 31) % 256);
const image = { width: pictureSize, height: pictureSize, data };

const began = performance.now();
using model = await openChatModel(folder);
const opened = performance.now();
const messages = [
  {
    role: "user" as const,
    content: [
      { type: "image" as const, image },
      { type: "text" as const, text },
    ],
  },
];
const prompt = model.prompt(messages);
using embedded = noGrad(() =>
  tidy(() =>
    embedPrompt(
      model,
      prompt,
      prompt.pictures.map((picture) => model.see(picture)),
    ),
  ),
);

using decoder = new Decoder(model.language);
const times: number[] = [];
const logProbs: number[] = [];
decoder.add(
  embedded,
  { maxNewTokens: tokens, logProbs: true },
  {
    token(_, logProb) {
      times.push(performance.now());
      logProbs.push(logProb!);
      return true;
    },
    ended() {},
  },
);
while (decoder.step());

/** How fast memory can be read, in the way that libtorch reads it best: a sum. */
function readBytesPerSecond(): number {
  const weights = model.language.parameters().filter(({ elementCount }) => elementCount > 1e6);
  let best = 0;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    let bytes = 0;
    for (const weight of weights) {
      noGrad(() => tidy(() => void weight.detach().flatten().bitcast("int64").sum().item()));
      bytes += 2 * weight.elementCount;
      if (bytes > 4e9) break;
    }
    best = Math.max(best, bytes / ((performance.now() - start) / 1000));
  }
  return best;
}

// Of the weights all but the rows of the embeddings are read for each token.
const { config } = model.language;
const weightBytes = 2 * (model.language.parameterCount() - config.vocabSize * config.hiddenSize);
const headDim = config.headDim ?? config.hiddenSize / config.numAttentionHeads;
const keyBytes = 4 * config.numHiddenLayers * config.numKeyValueHeads * headDim;
const peak = peakResidentBytes();
const decoded: Decoded = {
  promptIds: prompt.inputIds,
  seconds: {
    open: (opened - began) / 1000,
    "first token": (times[0]! - opened) / 1000,
    token: (times.at(-1)! - times[0]!) / 1000 / (times.length - 1),
  },
  firstLogProb: logProbs[0]!,
  peakBytes: peak,
  bytesPerToken: weightBytes + keyBytes * (prompt.inputIds.length + tokens / 2),
  readBytesPerSecond: readBytesPerSecond(),
};
process.stdout.write(JSON.stringify(decoded));
