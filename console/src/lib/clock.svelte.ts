import { STEP } from "./time";

// One clock for the page, so that what it says agrees.
class Clock {
  now = $state(new Date());
  constructor() {
    setInterval(() => (this.now = new Date()), STEP * 1_000);
  }
}

export const clock = new Clock();
