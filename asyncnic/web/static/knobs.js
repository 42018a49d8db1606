// The back-pressure knobs: shown as they stand, and turned where the service lets HTTP turn them.

const KNOBS = {
  rx_budget: "frames a burst, or auto; full bursts and a quiet loop: raise it",
  target_lag: "the loop's lag that an automatic budget holds",
  rx_time_budget: "time a burst; a late loop: lower it",
  busy_poll: "looking at an empty ring: fewer wake-ups, more CPU",
  tap_queue: "the kernel's queue: longer absorbs bursts, shorter keeps frames fresh",
  target_age: "in lasting overload, the kernel's queue is no longer than this; 0us: as it is",
  overload: "leave drops to the kernel, or drain as silicon does",
  queue_limit: "queue delivery: a longer queue, older frames",
  queue_policy: "queue delivery: what gives way when it is full",
};
const CHOICES = { overload: ["leave", "drain"], queue_policy: ["drop-newest", "drop-oldest", "pause"] };

function control(name) {
  const choices = CHOICES[name];
  const field = document.createElement(choices ? "select" : "input");
  for (const choice of choices ?? []) field.add(new Option(choice, choice));
  if (!choices) field.spellcheck = false;
  field.name = field.id = name;
  field.disabled = true;
  return field;
}

export class Knobs {
  constructor(form, note, answer) {
    Object.assign(this, { form, note, answer, fields: {} });
    for (const [name, hint] of Object.entries(KNOBS)) {
      const label = document.createElement("label");
      const words = document.createElement("small");
      words.textContent = hint;
      const field = (this.fields[name] = control(name));
      label.append(name, words, field);
      form.append(label);
      field.addEventListener("input", () => field.classList.add("dirty"));
      field.addEventListener("change", () => this.#turn(field));
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    // Enter in a field applies it: a form of several fields and no button does not submit by itself.
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.classList.contains("dirty")) this.#turn(event.target);
    });
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
    Object.values(this.fields)[0].focus();
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
