// What a design document's functions find around them, and what the server calls. Every value goes in and out
// as JSON text: nothing of the server is reachable from here.
(function (world) {
  "use strict";

  const evaluate = (0, eval);
  const modules = {};
  let design = {};

  function inside(path) {
    let found = design;
    for (const name of path) {
      if (found === null || typeof found !== "object" || !Object.hasOwn(found, name)) {
        throw { missing: name };
      }
      found = found[name];
    }
    return found;
  }

  // CommonJS, with the design document as the tree of modules: `lib/x`, and `./x` seen from another module.
  function requireFrom(folder) {
    return function require(name) {
      const steps = name.split("/");
      const path = steps[0] === "." || steps[0] === ".." ? [...folder] : [];
      for (const step of steps) {
        if (step === "..") path.pop();
        else if (step !== ".") path.push(step);
      }
      const key = path.join("/");
      if (!Object.hasOwn(modules, key)) {
        const source = inside(path);
        if (typeof source !== "string") throw new Error("invalid_require_path: " + name);
        const module = { id: key, exports: {} };
        modules[key] = module;
        const run = evaluate("(function (module, exports, require) { " + source + "\n })");
        run.call({}, module, module.exports, requireFrom(path.slice(0, -1)));
      }
      return modules[key].exports;
    };
  }

  const compiled = {};

  function functionAt(path) {
    const key = path.join("/");
    if (!Object.hasOwn(compiled, key)) {
      const source = inside(path);
      let made;
      try {
        made = evaluate("(" + String(source).replace(/[;\s]+$/, "") + "\n)");
      } catch (error) {
        throw { compilation: String(error) };
      }
      if (typeof made !== "function") throw { compilation: "expression does not eval to a function" };
      compiled[key] = made;
    }
    return compiled[key];
  }

  world.isArray = Array.isArray;
  world.toJSON = JSON.stringify;
  world.sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
  world.log = () => {};
  world.require = requireFrom([]);

  let emitted = false;
  world.emit = () => {
    emitted = true;
  };

  function outcome(work) {
    try {
      return JSON.stringify({ value: work() });
    } catch (error) {
      const thrown = error !== null && typeof error === "object" ? error : { unknown_error: String(error) };
      if (thrown instanceof Error) {
        return JSON.stringify({ error: String(thrown.name), reason: String(thrown.message) });
      }
      for (const kind of ["forbidden", "unauthorized", "missing", "compilation", "unknown_error"]) {
        if (kind in thrown) {
          const said = thrown[kind];
          return JSON.stringify({ error: kind, reason: typeof said === "string" ? said : JSON.stringify(said) });
        }
      }
      return JSON.stringify({ error: "unnamed_error", reason: JSON.stringify(thrown) ?? "" });
    }
  }

  const calls = {
    load: (text) => {
      design = JSON.parse(text);
    },
    passes: (path, document, request) =>
      outcome(() => Boolean(functionAt(JSON.parse(path))(JSON.parse(document), JSON.parse(request)))),
    emits: (path, document) =>
      outcome(() => {
        emitted = false;
        functionAt(JSON.parse(path))(JSON.parse(document));
        return emitted;
      }),
    validate: (path, after, before, user, security) =>
      outcome(() => {
        const values = [after, before, user, security].map((text) => JSON.parse(text));
        functionAt(JSON.parse(path))(...values);
        return true;
      }),
  };
  return (name, ...texts) => calls[name](...texts);
})(globalThis);
