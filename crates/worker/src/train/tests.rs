//! What training promises, and what the model that is part of the binary says of itself.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use clap::Parser;
use serde_json::Value;

use super::*;
use crate::model::{self, LoadOptions};

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: TrainArgs,
}

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/small")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(shipped().join(name)).unwrap()
}

fn shipped_receipt() -> Receipt {
    serde_json::from_slice(&read("receipt.json")).unwrap()
}

fn shipped_network() -> Network {
    let config: Value = serde_json::from_slice(&read("config.json")).unwrap();
    let size = |key: &str| usize::try_from(config[key].as_u64().unwrap()).unwrap();
    let shape = Shape::of(size("hidden_size"), size("num_hidden_layers"), size("vocab_size"));
    let weights = candle_core::safetensors::load_buffer(&read("model.safetensors"), &Device::Cpu).unwrap();
    Network::from_tensors(shape, &weights).unwrap()
}

fn shipped_model() -> model::Model {
    let options =
        LoadOptions { model: model::SHIPPED.to_owned(), id: None, context_tokens_max: 4096, chat_template: None };
    model::load(&options).unwrap()
}

fn tiny(out: &std::path::Path, more: &[&str]) -> TrainArgs {
    let out = out.to_str().unwrap();
    let line = ["train", "--out", out, "--steps", "4", "--dim", "16", "--layers", "1", "--vocab", "300", "--seed", "9"];
    CommandLine::try_parse_from(line.iter().chain(more)).unwrap().args
}

#[test]
fn the_same_seed_gives_the_same_files_bit_for_bit_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, third] = ["first", "second", "third"].map(|name| folder.path().join(name));
    run(&tiny(&first, &[])).unwrap();
    run(&tiny(&second, &[])).unwrap();
    let mut other = tiny(&third, &[]);
    other.seed = 10;
    run(&other).unwrap();
    for name in ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"] {
        assert_eq!(std::fs::read(first.join(name)).unwrap(), std::fs::read(second.join(name)).unwrap(), "{name}");
    }
    let weights = |folder: &std::path::Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert_ne!(weights(&first), weights(&third));
}

#[test]
fn a_folder_that_is_there_is_replaced_only_when_told_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("mine"), "precious").unwrap();
    assert!(matches!(run(&tiny(&out, &[])), Err(TrainError::Exists(_))));
    assert_eq!(std::fs::read(out.join("mine")).unwrap(), b"precious");
    run(&tiny(&out, &["--force"])).unwrap();
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let files = ["config.json", "model.safetensors", "receipt.json", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(names(&out), files);
    assert_eq!(names(folder.path()), ["model"]);
}

#[test]
fn training_lowers_the_loss() {
    let corpus = corpus::draw(3);
    let texts = corpus.training.iter().flatten().map(|(_, text)| text.as_str());
    let tokenizer = vocabulary::learn(texts, 300).unwrap();
    let mut dice = Dice::new(3);
    let network = Network::new(Shape::of(16, 1, 300), &mut dice).unwrap();
    let [training, judged] = [&corpus.training, &corpus.validation].map(|chats| tokens(&tokenizer, chats).unwrap());
    let before = session::validation_loss(&network, &judged).unwrap();
    session::train(&network, &training, 12, &mut dice).unwrap();
    let after = session::validation_loss(&network, &judged).unwrap();
    assert!(after < before - 0.2, "{before} -> {after}");
}

#[test]
fn every_text_comes_back_from_its_tokens() {
    let tokenizer = shipped_model().tokenizer;
    let texts = [
        "",
        " ",
        "  leading and trailing  ",
        "Hello!",
        "tabs\tand\r\nlines\n\n\n",
        "Grüße, 東京, مرحبا, हिन्दी",
        "👩‍👩‍👧‍👦 e\u{301} \u{0} \u{feff} \u{10ffff}",
        "<|user|><|end|> is text here",
        "1234567890.000001",
        "don't I'll we've",
    ];
    for text in texts {
        let mut ids = Vec::new();
        tokenizer.encode_text(text, &mut ids).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    for first in ('\u{0}'..='\u{10ffff}').step_by(997) {
        let text = format!("{first}a {first}");
        let mut ids = Vec::new();
        tokenizer.encode_text(&text, &mut ids).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn the_template_renders_a_chat_as_it_was_trained_on() {
    let model = shipped_model();
    let message = |role: &str, content: &str| crate::text::template::Message {
        role: role.to_owned(),
        content: content.to_owned(),
    };
    let messages = [message("system", "Be kind."), message("user", "Hello! <|end|>")];
    let rendered = model.template.as_ref().unwrap().encode(&messages, &model.tokenizer).unwrap();
    let whole = Tokenizer::from_bytes(read("tokenizer.json")).unwrap();
    let control = |text: &str| whole.token_to_id(text).unwrap();
    let mut expected = vec![control("<|system|>")];
    model.tokenizer.encode_text("Be kind.", &mut expected).unwrap();
    expected.extend([control("<|end|>"), control("<|user|>")]);
    model.tokenizer.encode_text("Hello! <|end|>", &mut expected).unwrap();
    expected.extend([control("<|end|>"), control("<|assistant|>")]);
    assert_eq!(rendered, expected);
    assert!(model.tokenizer.is_end(control("<|end|>")));
}

#[test]
fn the_receipt_of_the_shipped_model_adds_up_and_names_its_files() {
    let receipt = shipped_receipt();
    let rates = Rates {
        device_usd_per_hour: receipt.device_usd_per_hour.clone(),
        watts: receipt.watts.clone(),
        usd_per_kwh: receipt.usd_per_kwh.clone(),
        pue: receipt.pue.clone(),
    };
    let (energy_wh, cost_usd) = receipt::cost(&receipt.cpu_seconds, &rates).unwrap();
    assert_eq!((energy_wh, cost_usd), (receipt.energy_wh, receipt.cost_usd));
    assert_eq!(receipt.model, model::SHIPPED_MODEL_ID);
    assert_eq!(receipt.model_sha256, hex::encode(Sha256::digest(read("model.safetensors"))));
    assert_eq!(receipt.corpus_sha256, corpus::draw(receipt.seed).sha256);
    assert_eq!(receipt.parameters, count(shipped_network().parameters()));
    assert_eq!(receipt.tokens, receipt.steps * 2048);
    assert!(read("model.safetensors").len() < 1_700_000);
}

#[test]
fn the_validation_loss_of_the_shipped_model_is_what_its_receipt_says() {
    let receipt = shipped_receipt();
    let whole = Tokenizer::from_bytes(read("tokenizer.json")).unwrap();
    let judged = tokens(&whole, &corpus::draw(receipt.seed).validation).unwrap();
    let loss = session::validation_loss(&shipped_network(), &judged).unwrap();
    assert!((loss - receipt.validation_loss).abs() < 1e-3, "{loss} is not {}", receipt.validation_loss);
}

#[test]
fn no_chat_of_the_validation_side_is_trained_on() {
    let corpus = corpus::draw(1);
    assert!(corpus.validation.len() > 100, "{}", corpus.validation.len());
    assert!(corpus.validation.iter().all(|chat| !corpus.training.contains(chat)));
}

#[test]
fn what_is_served_and_what_was_trained_give_the_same_logits() {
    let (model, network) = (shipped_model(), shipped_network());
    let mut ids = model.tokenizer.encode_prompt("What is a token? A token is a piece of text, 3 ledgers.").unwrap();
    while ids.len() < LONG_TOKENS {
        ids.extend_from_within(..ids.len().min(LONG_TOKENS - ids.len()));
    }
    for length in [1, 2, 17, 130, LONG_TOKENS] {
        let prompt = &ids[..length];
        let input = Tensor::from_vec(prompt.to_vec(), (1, length), &Device::Cpu).unwrap();
        let trained: Vec<f32> =
            network.logits(&input).unwrap().get(0).unwrap().get(length - 1).unwrap().to_vec1().unwrap();
        let served = model.decoder.next_logits(prompt, &mut model.decoder.new_cache().unwrap()).unwrap();
        assert_eq!(trained.len(), served.len());
        for (trained, served) in trained.iter().zip(&served) {
            assert!((trained - served).abs() < 1e-4, "{trained} is not {served} at {length} tokens");
        }
    }
}

#[test]
fn decimals_are_exact_and_halves_go_to_the_even_digit() {
    let decimal = |text: &str| text.parse::<Decimal>().unwrap();
    let rates = |device: &str, watts: &str, kwh: &str, pue: &str| Rates {
        device_usd_per_hour: decimal(device),
        watts: decimal(watts),
        usd_per_kwh: decimal(kwh),
        pue: decimal(pue),
    };
    let costs = |seconds: &str, rates: &Rates| {
        let (energy, cost) = receipt::cost(&decimal(seconds), rates).unwrap();
        (energy.to_string(), cost.to_string())
    };
    let pair = |energy: &str, cost: &str| (energy.to_owned(), cost.to_owned());
    // 10 W x 12.345 s x 1.2 / 3600 = 0.04115 Wh; 12.345 / 3600 x 0.05 = 0.000171458 33; power adds 0.00000823.
    assert_eq!(costs("12.345", &rates("0.05", "10", "0.20", "1.2")), pair("0.041150", "0.000179688"));
    // 0.0000005 and 0.0000015 Wh are halves.
    assert_eq!(costs("0.0018", &rates("0", "1", "0", "1")).0, "0.000000");
    assert_eq!(costs("0.0054", &rates("0", "1", "0", "1")).0, "0.000002");
    // Half a nano-dollar and one and a half.
    assert_eq!(costs("3600", &rates("0.0000000", "0", "0", "1")).1, "0.000000000");
    assert_eq!(costs("1800", &rates("0.000000001", "0", "0", "1")).1, "0.000000000");
    assert_eq!(costs("1800", &rates("0.000000003", "0", "0", "1")).1, "0.000000002");
}

#[test]
fn what_is_no_decimal_is_refused_and_what_is_too_large_is_not_counted() {
    for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "NaN", "1234567890", "0.0000000001", "1.2.3"] {
        assert!(text.parse::<Decimal>().is_err(), "{text}");
    }
    let large: Decimal = "999999999.999999999".parse().unwrap();
    let rates = Rates {
        device_usd_per_hour: large.clone(),
        watts: large.clone(),
        usd_per_kwh: large.clone(),
        pue: large.clone(),
    };
    assert!(receipt::cost(&large, &rates).is_none());
}
