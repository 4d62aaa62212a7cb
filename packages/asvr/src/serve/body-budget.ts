import { type Readable, Transform } from "node:stream";
import { BusyError } from "../chat/chat-service.js";

interface Body {
  readonly stream: Transform;
  bytes: number;
}

/**
 * The bytes of all requests' bodies together, from their arrival until what they say was read. Over the budget the
 * largest one that still arrives is refused: a small request is not shut out by large ones.
 */
export class BodyBudget {
  readonly #arriving = new Set<Body>();
  #held = 0;

  constructor(readonly bytes: number) {}

  get held(): number {
    return this.#held;
  }

  /** The body, counted as it arrives. `release` gives its bytes back, once. */
  count(payload: Readable): { stream: Readable; release: () => void } {
    const stream = new Transform({
      transform: (chunk: Buffer, _encoding, next) => {
        body.bytes += chunk.length;
        this.#held += chunk.length;
        if (this.#held > this.bytes) this.#refuseLargest();
        next(null, chunk);
      },
    });
    const body: Body = { stream, bytes: 0 };
    this.#arriving.add(body);
    stream.once("close", () => this.#arriving.delete(body));
    payload.once("error", (error) => stream.destroy(error));
    payload.once("close", () => payload.readableEnded || stream.destroy());
    const release = () => {
      this.#held -= body.bytes;
      body.bytes = 0;
    };
    return { stream: payload.pipe(stream), release };
  }

  #refuseLargest(): void {
    const [largest] = [...this.#arriving].sort((a, b) => b.bytes - a.bytes);
    this.#arriving.delete(largest!);
    largest!.stream.destroy(new BusyError(`bodies of ${this.#held} bytes are being read`));
  }
}
