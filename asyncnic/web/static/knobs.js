// The back-pressure knobs: shown as they stand, and turned where the service lets HTTP turn them.

// A field for one entry of /api/v1/knobs.
function control({ name, choices }) {
  const field = document.createElement(choices.length ? "select" : "input");
  for (const choice of choices) field.add(new Option(choice, choice));
  if (!choices.length) field.spellcheck = false;
  field.name = field.id = name;
  field.disabled = true;
  return field;
}

export class Knobs {
  constructor(form, note, answer) {
    Object.assign(this, { form, note, answer, fields: {} });
    form.addEventListener("submit", (event) => event.preventDefault());
    // Enter in a field applies it: a form of several fields and no button does not submit by itself.
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.classList.contains("dirty")) this.#turn(event.target);
    });
  }

  // Which knobs there are is the service's to say.
  async load() {
    const response = await fetch("api/v1/knobs");
    for (const knob of await response.json()) {
      const label = document.createElement("label");
      const words = document.createElement("small");
      words.textContent = knob.hint;
      const field = (this.fields[knob.name] = control(knob));
      field.value = knob.value;
      label.append(knob.name, words, field);
      this.form.append(label);
      field.addEventListener("input", () => field.classList.add("dirty"));
      field.addEventListener("change", () => this.#turn(field));
    }
  }

  // What is being typed is not overwritten by what stands.
  update(settings) {
    const open = settings.enable_lifecycle;
    this.note.textContent = open
      ? "A change counts from the next burst on. It is not written to the configuration file."
      : "As they stand now. Start with --enable-lifecycle to turn them here.";
    for (const [name, field] of Object.entries(this.fields)) {
      field.disabled = !open;
      if (!field.classList.contains("dirty") && field !== document.activeElement) field.value = settings[name];
    }
  }

  focus() {
    Object.values(this.fields)[0]?.focus();
  }

  async #turn(field) {
    field.classList.remove("dirty");
    try {
      const response = await fetch("api/v1/settings", {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ [field.name]: field.value }),
      });
      const text = (await response.text()).trim();
      this.answer.textContent = response.ok ? `${field.name} is now ${field.value}` : text;
      this.answer.className = response.ok ? "" : "bad";
    } catch (error) {
      this.answer.textContent = `${field.name} not changed: no answer from the service`;
      this.answer.className = "bad";
    }
  }
}
