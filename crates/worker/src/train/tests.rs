//! The trainer against itself, and the shipped model against its receipt and the serving pass.

use super::*;
use crate::model::{LoadOptions, Model, SHIPPED, load};

fn tiny(out: &Path) -> TrainArgs {
    TrainArgs {
        out: out.to_owned(),
        seed: 5,
        steps: 3,
        hidden: 16,
        layers: 1,
        vocabulary: 320,
        learning_rate: 3e-3,
        device_usd_per_hour: "0.05".to_owned(),
        watts: "10".to_owned(),
        usd_per_kwh: "0.20".to_owned(),
        pue: "1.2".to_owned(),
        force: false,
    }
}

fn model(folder: &str) -> Model {
    load(&LoadOptions { model: folder.to_owned(), id: None, context_tokens_max: 8192, chat_template: None }).unwrap()
}

fn shipped_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/small")
}

#[test]
fn the_same_seed_gives_the_same_model_to_the_bit_and_another_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let hash = |name: &str, seed: u64| {
        let args = TrainArgs { seed, ..tiny(&dir.path().join(name)) };
        (run(&args).unwrap().model_sha256, fs::read(args.out.join("tokenizer.json")).unwrap())
    };
    let (first, again, other) = (hash("a", 5), hash("b", 5), hash("c", 6));
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    let refused = run(&tiny(&dir.path().join("a"))).unwrap_err();
    assert!(matches!(refused, TrainError::Exists(_)), "{refused}");
    assert!(model(dir.path().join("a").to_str().unwrap()).template.is_some());
}

#[test]
fn every_text_comes_back_from_the_tokenizer_as_it_was() {
    let model = model(SHIPPED);
    for text in [
        "",
        "Hello!",
        "  two  spaces\n\ttab",
        "naïve – 日本語 🙂🏽\u{200d}",
        "\u{0}\u{7f}\u{fffd}",
        "<|end|><|user|>",
        "😀a\u{301}",
    ] {
        let mut ids = Vec::new();
        model.tokenizer.encode_text(text, &mut ids).unwrap();
        assert_eq!(model.tokenizer.decode(&ids).unwrap(), text);
        assert!(ids.iter().all(|id| !model.tokenizer.is_end(*id)), "a control token came out of {text:?}");
    }
}

#[test]
fn the_receipt_of_the_shipped_model_adds_up_and_names_these_files() {
    let folder = shipped_folder();
    let receipt: Receipt = serde_json::from_slice(&fs::read(folder.join("receipt.json")).unwrap()).unwrap();
    let prices = DevicePrices {
        device_usd_per_hour: receipt.device_usd_per_hour.clone(),
        watts: receipt.watts.clone(),
        usd_per_kwh: receipt.usd_per_kwh.clone(),
        pue: receipt.pue.clone(),
    };
    let expected = Some((receipt.energy_wh.clone(), receipt.cost_usd.clone()));
    assert_eq!(prices.energy_and_cost(&receipt.cpu_seconds), expected);
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&weights)), receipt.model_sha256);
    assert!(weights.len() < 2_000_000);
    assert_eq!(model(SHIPPED).info.sha256, receipt.model_sha256);
}

#[test]
fn the_shipped_model_is_as_good_as_its_receipt_says_and_serving_computes_what_training_did() {
    let folder = shipped_folder();
    let receipt: Receipt = serde_json::from_slice(&fs::read(folder.join("receipt.json")).unwrap()).unwrap();
    let args = TrainArgs { seed: receipt.seed, hidden: 96, layers: 3, vocabulary: 512, ..tiny(&folder) };
    let data = Data::make(&args).unwrap();
    assert_eq!(data.hash, receipt.corpus_sha256);
    let sizes = args.sizes(data.tokenizer.vocabulary());
    let mut map = VarMap::new();
    drop(Trainable::new(sizes, &map).unwrap());
    map.load(folder.join("model.safetensors")).unwrap();
    let trainable = Trainable::new(sizes, &map).unwrap();
    let loss = validation(&trainable, &data.validation).unwrap();
    assert!((loss - receipt.validation_loss).abs() < 1e-3, "{loss}");

    let served = model(SHIPPED);
    let ids = data.validation.get(..60).unwrap();
    let whole = trainable.logits(&Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap()).unwrap();
    let trained: Vec<f32> = whole.squeeze(0).unwrap().get(59).unwrap().to_vec1().unwrap();
    let logits = served.decoder.next_logits(ids, &mut served.decoder.new_cache().unwrap()).unwrap();
    for (trained, served) in trained.iter().zip(&logits) {
        assert!((trained - served).abs() < 1e-3, "{trained} {served}");
    }
}
