#!/usr/bin/env python3
"""Makes the model catalogue's text from a JSON file of the form openclaw-model-catalog/1.

    scripts/catalogue.py ../shared/catalog/model_prices.json > Sources/ClawDialect/Catalogue/CatalogueData.swift
    scripts/catalogue.py --text prices.json > prices.tsv     # a file for catalogue.path

What the columns mean is told in Sources/ClawDialect/Catalogue/CatalogueText.swift, which reads them. Columns that are not there are left
out from the end of a line; lines are sorted by the bytes of provider, tab and model, because look-ups search them by halving.
"""
import argparse
import decimal
import json
import sys

PRICES = ["input_price", "output_price", "cache_read_price", "cache_write_price", "cache_write_hour_price", "reasoning_price", "input_audio_price",
          "output_audio_price"]
MODALITIES = {"text": "t", "image": "i", "pdf": "p", "video": "v", "audio": "a"}
EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max", "default"]
MILLIONTH = decimal.Decimal("0.000001")


def price(value):
    """USD per 1,000,000 tokens with at most six decimals, which takes the binary dust off figures like 0.049999999999999996."""
    if value is None:
        return ""
    value = value.quantize(MILLIONTH, decimal.ROUND_HALF_UP)
    if value < 0 or value > 1_000_000:
        raise ValueError(f"price {value}")
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def prices(entry):
    return ",".join(price(entry.get(key)) for key in PRICES).rstrip(",")


def flags(capabilities):
    structured, temperature = capabilities.get("structured_output"), capabilities.get("temperature")
    return "".join([
        "E" if capabilities["kind"] == "embedding" else "",
        "T" if capabilities.get("tools") else "",
        "" if structured is None else "S" if structured else "s",
        "R" if capabilities.get("reasoning") else "",
        "" if temperature is None else "F" if temperature else "f",
        "A" if capabilities.get("attachments") else "",
    ])


def modalities(capabilities):
    text = ">".join("".join(MODALITIES[name] for name in MODALITIES if name in capabilities[side]) for side in ("input", "output"))
    return "" if text == "t>t" else text


def reasoning(options):
    words = []
    for option in options or []:
        if option["type"] == "toggle":
            words.append("toggle")
        elif option["type"] == "effort":
            words.append("/".join(sorted(option["values"], key=EFFORTS.index)))
        elif option["type"] == "budget_tokens":
            words.append(f"{option.get('min', '')}..{option.get('max', '')}")
        else:
            raise ValueError(f"reasoning option {option}")
    return ",".join(words)


def line(model):
    capabilities = model["capabilities"]
    context, most = model.get("max_context_tokens") or 0, model.get("max_input_tokens") or 0
    columns = [
        model["provider"], model["model"], str(context or ""), "" if most == context else str(most or ""), str(model.get("max_output_tokens") or ""),
        prices(model), ";".join(f"{tier['above_input_tokens']}:{prices(tier)}" for tier in model.get("price_tiers", [])),
        flags(capabilities), modalities(capabilities), reasoning(capabilities.get("reasoning_options")), str(model.get("embedding_dimensions") or ""),
        model.get("release_date") or "", model.get("status") or "",
    ]
    if any(set(column) & set("\t\n\r\\\"#") for column in columns):
        raise ValueError(f"{model['provider']} {model['model']}: a tab, line break, quote, backslash or # inside")
    return "\t".join(columns).rstrip("\t")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file")
    options.add_argument("--text", action="store_true", help="the bare text, for catalogue.path")
    options = options.parse_args()
    with open(options.file, encoding="utf-8") as file:
        catalogue = json.load(file, parse_float=decimal.Decimal, parse_int=decimal.Decimal)
    if catalogue.get("format") != "openclaw-model-catalog/1":
        sys.exit(f"{options.file}: format {catalogue.get('format')}, expected openclaw-model-catalog/1")
    lines = sorted((line(model) for model in catalogue["models"]), key=lambda text: "\t".join(text.split("\t")[:2]).encode())
    source = catalogue.get("source", {})
    origin = f"{source.get('repo', 'unknown')}, commit {source.get('commit', 'unknown')} of {source.get('commit_date', 'unknown')}"
    if options.text:
        print(f"# {len(lines)} models from {origin}; licence {source.get('licence', 'unknown')}. {source.get('copyright', '')}")
        print("\n".join(lines))
        return
    print(f"""\
// The {len(lines)} models the program knows without a file. Made by scripts/catalogue.py; do not edit. CatalogueText.swift says what the columns mean.
//
// Source: {origin}, trimmed to the
// providers of this gateway. Licence: {source.get('licence', 'unknown')}, {source.get('copyright', '')} (the text is in NOTICE). Kept by volunteers: figures to plan with, not an
// invoice.

enum CatalogueData {{
    static let text: StaticString = \"""
""" + "\n".join(lines) + """

\"""
}""")


if __name__ == "__main__":
    main()
