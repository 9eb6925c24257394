/** What the runtime has: the environment of a Worker, if it is one, and whether timers end with their request. */
export const runtime = { env: undefined, ticks: false };
