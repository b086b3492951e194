// Light, dark, or as the system has it.
type Choice = "system" | "light" | "dark";

class Theme {
  #choice = $state<Choice>(kept());
  constructor() {
    this.#apply();
  }
  get choice(): Choice {
    return this.#choice;
  }
  set choice(choice: Choice) {
    this.#choice = choice;
    localStorage.setItem("portcullis-theme", choice);
    this.#apply();
  }
  #apply() {
    if (this.#choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.#choice;
  }
}

function kept(): Choice {
  const kept = localStorage.getItem("portcullis-theme");
  return kept === "light" || kept === "dark" ? kept : "system";
}

export const theme = new Theme();
