/** What is set on the pod's interface and namespace, and what was there before. */
export type Tuning = { readonly sysctls: Readonly<Record<string, string>> }
