// Asks a published model, or a run of your own, about a picture: one answer piece by piece, then many side by side.
//   node examples/dist/ask-a-model.js MODEL PICTURE [QUESTION…]
// MODEL is what `asvr chat` takes: a folder, or an id on the hub, as llava-hf/llava-1.5-7b-hf.
import { answerAll, ChatEngine, decodeImage, openChatModel, question } from "asvr";

const [path, picture, ...asked] = process.argv.slice(2);
if (path === undefined || picture === undefined) throw new Error("usage: ask-a-model MODEL PICTURE [QUESTION…]");
const questions =
  asked.length > 0 ? asked : ["What is in the picture?", "Which colours does it have?", "Is it a photo?"];

using model = await openChatModel(path);
const image = await decodeImage(picture);

// One conversation. An engine answers many at a time; the words of each come as they are found.
{
  using engine = new ChatEngine(model);
  process.stdout.write(`${questions[0]}\n`);
  for await (const event of engine.ask([question(questions[0]!, [image])], { maxNewTokens: 64 })) {
    if (event.type === "text") process.stdout.write(event.text);
    if (event.type === "end") process.stdout.write(`\n(${event.answerTokens} tokens; end: ${event.reason})\n\n`);
  }
}

// Many questions. The picture is encoded once, and answers come in the order in which they are done.
const requests = questions.map((text) => ({ id: text, messages: [question(text, [image])], maxNewTokens: 32 }));
let count = 0;
for await (const { id, text } of answerAll(model, requests)) {
  count++;
  console.log(`${id}\n  ${text.trim()}`);
}
console.log(`${model.name} answered ${count} of ${questions.length} questions`);
