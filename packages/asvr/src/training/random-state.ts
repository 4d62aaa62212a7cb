import { type nn, randomState, setRandomState, type Tensor } from "@asvr/torch";

/** States of libtorch's generators by kind of device, "cpu" and "cuda": tensors in host memory. */
export type RandomStates = ReadonlyMap<string, Tensor>;

/** The states of the generators that a training draws from: that of the CPU, and that of the device of its networks. */
export function randomStates(modules: Readonly<Record<string, nn.Module>>): Map<string, Tensor> {
  return new Map(Array.from(devicesOf(modules), ([kind, device]) => [kind, randomState(device)]));
}

/** Takes up states of `randomStates`. A generator without one stays as it is: earlier checkpoints have the CPU's alone. */
export function setRandomStates(modules: Readonly<Record<string, nn.Module>>, states: RandomStates): void {
  for (const [kind, device] of devicesOf(modules)) {
    const state = states.get(kind);
    if (state) setRandomState(state, device);
  }
}

/** Kind -> device. A run may go on on another card: states have no index. */
function devicesOf(modules: Readonly<Record<string, nn.Module>>): Map<string, string> {
  const devices = new Map([["cpu", "cpu"]]);
  for (const network of Object.values(modules)) {
    for (const { device } of network.parameters()) devices.set(device.split(":", 1)[0]!, device);
  }
  return devices;
}
