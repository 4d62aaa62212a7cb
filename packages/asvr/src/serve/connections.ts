import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { FastifyReply } from "fastify";

const UNREAD_MS = 3000;

/**
 * The connections of a server. Once it closes they stay for answers alone: one whose request has not arrived whole ends
 * at once, and one whose client does not read what it is sent ends within seconds.
 */
export class Connections {
  /** What is done when a connection is gone. */
  readonly #open = new Map<Socket, Set<() => void>>();
  /** Requests of each connection that have arrived and are not answered yet. */
  readonly #answering = new Map<Socket, number>();
  #isClosing = false;

  get isClosing(): boolean {
    return this.#isClosing;
  }

  watch(server: Server): void {
    server.on("connection", (socket) => {
      if (this.#isClosing) {
        socket.destroy();
        return;
      }
      const acts = new Set<() => void>();
      this.#open.set(socket, acts);
      socket.once("close", () => {
        this.#open.delete(socket);
        for (const act of acts) act();
      });
    });
  }

  /**
   * Calls `act` once: when the answer is out or its connection gone, at once where that is so already. An answer that
   * waits behind another one of its connection hears of the connection's end from nobody else.
   */
  whenGone({ raw, request }: FastifyReply, act: () => void): void {
    const { socket } = request.raw;
    if (raw.closed || socket.destroyed) {
      act();
      return;
    }
    const acts = this.#open.get(socket) ?? new Set();
    const once = () => {
      if (acts.delete(once)) act();
    };
    acts.add(once);
    raw.once("close", once);
  }

  /** From here on the request has arrived, and its answer is worth waiting for. */
  answer(reply: FastifyReply): void {
    const { socket } = reply.request.raw;
    this.#answering.set(socket, this.#count(socket) + 1);
    this.whenGone(reply, () => {
      const left = this.#count(socket) - 1;
      if (left > 0) this.#answering.set(socket, left);
      else this.#answering.delete(socket);
      if (left === 0 && this.#isClosing) socket.destroySoon();
    });
  }

  #count(socket: Socket): number {
    return this.#answering.get(socket) ?? 0;
  }

  close(): void {
    this.#isClosing = true;
    for (const socket of this.#open.keys()) if (this.#count(socket) === 0) socket.destroy();
    const taken = new Map<Socket, number>();
    const timer = setInterval(() => {
      for (const socket of this.#open.keys()) {
        const bytes = socket.bytesWritten - socket.writableLength;
        if (socket.writableLength > 0 && taken.get(socket) === bytes) socket.destroy();
        taken.set(socket, bytes);
      }
      if (this.#open.size === 0) clearInterval(timer);
    }, UNREAD_MS);
    timer.unref();
  }
}
