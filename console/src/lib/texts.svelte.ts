// What people read. English is the key; other languages are loaded when they are chosen.
export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français" } as const;
export type Language = keyof typeof LANGUAGES;

const WORD = /^[a-z]+(_[a-z]+)+$/;

type Catalog = Record<string, string>;
const KEPT = "portcullis-language";
const catalogs: Partial<Record<Language, () => Promise<{ default: Catalog }>>> = {
  de: () => import("../texts/de.json"),
  es: () => import("../texts/es.json"),
  fr: () => import("../texts/fr.json"),
};

class Texts {
  language = $state<Language>("en");
  catalog = $state.raw<Catalog>({});

  /** The language that was chosen here, or the first that the browser asks for. */
  async begin() {
    const wanted = [localStorage.getItem(KEPT) ?? "", ...navigator.languages].map((tag) => tag.slice(0, 2));
    const known = wanted.find((tag): tag is Language => Object.hasOwn(LANGUAGES, tag));
    if (known && known !== "en") await this.#load(known);
  }

  async choose(language: Language) {
    localStorage.setItem(KEPT, language);
    await this.#load(language);
  }

  async #load(language: Language) {
    this.catalog = (await catalogs[language]?.())?.default ?? {};
    this.language = language;
    document.documentElement.lang = language;
  }
}

export const texts = new Texts();

/** A text, with `{name}` replaced. */
export function t(english: string, values: Record<string, string | number> = {}): string {
  // Words of the API are read with spaces where nobody has translated them.
  const text = (Object.hasOwn(texts.catalog, english) ? texts.catalog[english] : undefined) ?? (WORD.test(english) ? english.replaceAll("_", " ") : english);
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(Object.hasOwn(values, name) ? values[name] : whole));
}
