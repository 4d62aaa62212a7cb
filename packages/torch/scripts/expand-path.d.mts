export function expandPath(path: string): string;
export function pathFrom(name: string): string | undefined;
export function userCache(): string;
