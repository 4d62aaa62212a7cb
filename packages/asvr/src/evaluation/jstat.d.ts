/** The part of jstat that we use; the package has no types. */
declare module "jstat" {
  interface StudentT {
    /** P(T <= x) with `degrees` of freedom. */
    cdf(x: number, degrees: number): number;
    /** The x with P(T <= x) = probability. */
    inv(probability: number, degrees: number): number;
  }
  const jstat: { readonly studentt: StudentT };
  export default jstat;
}
