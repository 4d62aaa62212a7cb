import { describe, expect, test } from "vitest";
import { Random } from "../random.js";
import { fullCaption, type Question, testQuestions, trainingQuestions, wordsOf } from "./language.js";
import { type Scene, sampleScene } from "./scene.js";
import { makeSplit } from "./splits.js";
import { type Concept, KIND_NAMES, type KindName, THINGS } from "./things.js";
import { POSITIONS, QUESTION_TYPE_NAMES } from "./world.js";

const root = new Random(0).fork("language test");

describe.each(Object.values(THINGS))("of the $name things", (things) => {
  const { kindOf } = things;
  const words = wordsOf(things);
  const split = makeSplit("train", 0, new Array(10).fill(50), things);
  const scenes = Array.from({ length: 1000 }, (_, i) => sampleScene(split, root.fork(i)));
  const asked = scenes.flatMap((scene, i) =>
    trainingQuestions(scene, things, 8, root.fork(`questions ${i}`)).map((question) => ({ scene, question })),
  );

  /** Answers a question from the scene alone, in other words than the program that asks. */
  function solve(scene: Scene, { question }: Question): string | number | undefined {
    const words = question.split(" ");
    const topic = words.at(-2)!;
    const at = scene.objects.find(({ plate }) => POSITIONS[plate.cell] === topic);
    const named = scene.objects.find(({ concept }) => concept === topic);
    const count = scene.objects.filter(({ concept }) => kindOf(concept) === topic).length;
    if (question === "what digit ?") return scene.digit?.value;
    if (words[0] === "digit" && POSITIONS[scene.digit!.plate.cell] === topic) return scene.digit!.value;
    if (question === "what background ?") return scene.background;
    if (question === "how many objects ?") return scene.objects.length;
    if (words[0] === "how") return count;
    if (words[0] === "any") return (KIND_NAMES.includes(topic as KindName) ? count > 0 : named) ? "yes" : "no";
    if (words[0] === "where") return POSITIONS[named!.plate.cell];
    if (words[0] === "color") return named!.color;
    if (words[0] === "kind") return kindOf(at!.concept);
    return (words[1] === "on" ? scene.objects.find(({ color }) => color === topic) : at)?.concept;
  }

  test("every answer is right and one word, every question at most four words", () => {
    for (const { scene, question } of asked) {
      expect(question.answer).toBe(String(solve(scene, question)));
      expect(question.answer).not.toContain(" ");
      expect(question.question.split(" ").length).toBeLessThanOrEqual(4);
    }
  });

  test("every word that is used is in the tokenizer's list", () => {
    const captions = scenes.map((scene) => fullCaption(scene, root));
    const texts = [...captions, ...asked.flatMap(({ question }) => [question.question, question.answer])];
    const unknown = texts.flatMap((text) => text.split(" ")).filter((word) => !words.includes(word));
    expect(unknown).toEqual([]);
    expect(new Set(words).size).toBe(words.length);
  });

  test("no picture is asked the same question twice", () => {
    for (const scene of scenes) {
      const questions = trainingQuestions(scene, things, 16, root.fork("again")).map(({ question }) => question);
      expect(new Set(questions).size).toBe(16);
    }
  });

  test("half of the presence questions are true, and so for things, for kinds and for popular things", () => {
    const presence = asked.filter(({ question }) => question.type === "presence").map(({ question }) => question);
    const yesShare = (topics: readonly string[]) => {
      const about = presence.filter(({ question }) => topics.includes(question.split(" ")[1]!));
      return about.filter(({ answer }) => answer === "yes").length / about.length;
    };
    expect(yesShare(words)).toBeCloseTo(0.5, 1);
    expect(yesShare(KIND_NAMES)).toBeCloseTo(0.5, 1);
    expect(yesShare(things.common)).toBeGreaterThan(0.35);
  });

  test("a test picture gets each type that applies once, an unseen drawing only those about objects", () => {
    for (const scene of scenes.slice(0, 100)) {
      const types = testQuestions(scene, things, false, root).map(({ type }) => type);
      const without = [scene.digit ? "" : "digit", scene.background ? "" : "background"];
      expect(types).toEqual(QUESTION_TYPE_NAMES.filter((type) => !without.includes(type)));
      const novel = testQuestions(scene, things, true, root).map(({ type }) => type);
      expect(novel).toEqual(types.filter((type) => type !== "digit" && type !== "background"));
    }
  });

  test("scenes are mixed as described: pairs of a kind, different things, different plates", () => {
    const share = (holds: (scene: Scene) => boolean) => scenes.filter(holds).length / scenes.length;
    const concepts = (scene: Scene): Concept[] => scene.objects.map(({ concept }) => concept);
    for (const scene of scenes) {
      expect(new Set(concepts(scene)).size).toBe(scene.objects.length);
      expect(new Set(scene.objects.map(({ color }) => color)).size).toBe(scene.objects.length);
    }
    expect(share((scene) => scene.digit !== undefined)).toBeCloseTo(0.7, 1);
    expect(share((scene) => scene.objects.length === 2)).toBeCloseTo(1 / 3, 1);
    const related = (count: number) => {
      const some = scenes.filter(({ objects }) => objects.length === count);
      return some.filter((scene) => new Set(concepts(scene).map(kindOf)).size < count).length / some.length;
    };
    const chances = KIND_NAMES.map((kind) => (things.kinds[kind].length / things.concepts.length) ** 2);
    const byChance = chances.reduce((sum, chance) => sum + chance);
    expect(related(2)).toBeCloseTo(0.5 + 0.5 * byChance, 1);
    expect(related(3)).toBeGreaterThan(0.6 + 0.4 * byChance);
  });
});
