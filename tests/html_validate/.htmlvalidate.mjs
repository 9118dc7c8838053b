// The recommended rules. Left out: what is a matter of taste and changes nothing for a browser.
export default {
  root: true,
  extends: ["html-validate:recommended"],
  rules: {
    "doctype-style": "off", // in small letters, as the standard's own examples
    "no-implicit-button-type": "off", // "submit" is the default, and what ours mean
    "no-implicit-input-type": "off", // "text" likewise
    "no-trailing-whitespace": "off", // left by templates' conditions
    "form-dup-name": "off", // a list of choices shares its name
  },
};
