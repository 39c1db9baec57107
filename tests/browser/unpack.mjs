// Unpacks the browser, its libraries and its font into TMPDIR: node unpack.mjs FOLDER
import { join } from "node:path";

import { inflate } from "@sparticuz/chromium";

const [folder] = process.argv.slice(2);
await Promise.all(["chromium.br", "al2023.tar.br", "fonts.tar.br"].map((name) => inflate(join(folder, name))));
