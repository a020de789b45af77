// AWS's language service (what VS Code shows) and asl-validator on the definitions named. Prints each finding.
const fs = require("fs");
const aws = require("amazon-states-language-service");
const validate = require("asl-validator");

async function findings(file) {
  const text = fs.readFileSync(file, "utf8");
  const service = aws.getLanguageService({});
  const document = aws.TextDocument.create(`file://${file}`, "asl", 1, text);
  const diagnostics = await service.doValidation(document, service.parseJSONDocument(document));
  const checked = validate(JSON.parse(text), { checkArn: false, checkPaths: false });
  return [
    ...diagnostics.map((one) => `${file}:${one.range.start.line + 1}: language service: ${one.message}`),
    ...new Set(checked.errors.map((one) => `${file}: asl-validator: ${one.Message}`)),
  ];
}

(async () => {
  const all = (await Promise.all(process.argv.slice(2).map(findings))).flat();
  all.forEach((line) => console.log(line));
  process.exit(all.length ? 1 : 0);
})();
