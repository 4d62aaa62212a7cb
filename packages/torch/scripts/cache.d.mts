export const packageRoot: string;
export function currentFile(): string;
