// Our side of `eval`: answers a set with several questions a picture, as `asvr eval CHECKPOINT --benchmarks` does.
import { setThreads } from "@asvr/torch";
import { type AnswerRequest, localAnswerer, openChatModel, question } from "asvr";
import sharp from "sharp";
import type { EvalAnswers, EvalRun } from "../benches/eval.js";

const { folder, threads, pictures, questions, tokens, pictureSize } = JSON.parse(process.argv[2]!) as EvalRun;
setThreads(threads);
using model = await openChatModel(folder);

/** What is asked differs in length, as questions do. */
const texts = Array.from(
  { length: questions },
  (_, at) => `What is ${"left of ".repeat(at)}the thing?\nAnswer the question using a single word or phrase.`,
);
const images = Array.from({ length: pictures }, (_, picture) => {
  const data = Uint8Array.from({ length: 3 * pictureSize ** 2 }, (_, at) => (at * (31 + 2 * picture)) % 256);
  return { width: pictureSize, height: pictureSize, data };
});
const requests: AnswerRequest[] = [];
const promptIds: (readonly number[])[] = [];
for (const [picture, image] of images.entries()) {
  const png = await sharp(image.data, { raw: { width: pictureSize, height: pictureSize, channels: 3 } })
    .png()
    .toBuffer();
  const shown = { key: String(picture), bytes: async () => png };
  for (const [at, text] of texts.entries()) {
    requests.push({ id: `${picture}.${at}`, prompt: `<image>\n${text}`, pictures: [shown], maxNewTokens: tokens });
    promptIds.push(model.prompt([question(text, [image])]).inputIds);
  }
}

const started = performance.now();
const before = process.cpuUsage();
const answers = new Map<string, string>();
for await (const { id, text } of localAnswerer(model, { name: "random" }).answer(requests))
  answers.set(id, text.trim());
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(before);
const spent = { seconds, cpuSeconds: (user + system) / 1e6 };
const answered: EvalAnswers = { ...spent, texts: requests.map(({ id }) => answers.get(id)!), promptIds };
process.stdout.write(JSON.stringify(answered));
