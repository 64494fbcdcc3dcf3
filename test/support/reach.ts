import type { Netns } from './netns.ts'

/**
 * An echo request that is answered, at the fourth try at the latest: for tests that ask whether
 * there is a way at all, not whether the very first packet finds it.
 */
export const reaches = (from: Netns, to: string): boolean =>
  [1, 2, 3, 4].some(() => from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '1', to]).code === 0)
