//! The text that the small model learns from: chats made from hand-written questions and answers, by a seed.
//!
//! A chat whose text falls to the validation side is never trained on, however often it is drawn.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{
    dice::Dice,
    topics::{FIELD, SMALL_TALK, Topic},
};

/// Chats that are drawn.
const CHATS: usize = 6000;
/// One text in so many is held back for validation.
const HELD_BACK: u8 = 20;
/// Folded in before some chats.
const SYSTEMS: [&str; 6] = [
    "You are a helpful assistant.",
    "You are helpful.",
    "Answer briefly.",
    "You are a friendly assistant. Answer in one sentence.",
    "Be kind.",
    "You are an expert for the cost of inference.",
];
/// Before a question; the question then begins small.
const OPENINGS: [&str; 5] = ["Please tell me: ", "A question: ", "Tell me, ", "Hello! ", "Quick question: "];

/// To questions for a sum over tokens.
const BILL_ANSWERS: [&str; 2] = [
    "Multiply the millions of tokens by the price per million. I am too small to do sums.",
    "The cost is millions of tokens times price. I cannot do sums, but the ledger can.",
];
/// To questions for a day of break-even.
const EARNED_BACK_ANSWERS: [&str; 2] = [
    "Divide the training cost by the margin of a day: that is the number of days. I am too small to do sums.",
    "It takes training cost over daily margin, in days. I cannot do sums, but the ledger can.",
];

/// One message: role and content.
pub(super) type Line = (&'static str, String);

/// Chats to learn from and chats to be judged by.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) training: Vec<Vec<Line>>,
    pub(super) validation: Vec<Vec<Line>>,
    /// Of all chats, in the order in which they were drawn.
    pub(super) sha256: String,
}

/// Draws a corpus.
pub(super) fn draw(seed: u64) -> Corpus {
    let mut dice = Dice::new(seed);
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    let mut whole = Sha256::new();
    for _ in 0..CHATS {
        let chat = chat(&mut dice);
        let mut text = String::new();
        for (role, content) in &chat {
            let _infallible = writeln!(text, "{role}: {content}");
        }
        text.push('\n');
        whole.update(&text);
        match Sha256::digest(&text).first().is_some_and(|byte| byte % HELD_BACK == 0) {
            true => validation.push(chat),
            false => training.push(chat),
        }
    }
    Corpus { training, validation, sha256: hex::encode(whole.finalize()) }
}

/// One chat of one to three questions; some are plain text, which is what completions begin with.
fn chat(dice: &mut Dice) -> Vec<Line> {
    if dice.below(12) == 0 {
        return vec![("", prose(dice))];
    }
    let mut chat = Vec::new();
    if dice.below(4) == 0 {
        chat.push(("system", dice.pick(&SYSTEMS).unwrap_or_default().to_owned()));
    }
    for _ in 0..[1, 1, 1, 2, 2, 3].get(dice.below(6)).copied().unwrap_or(1) {
        let (question, answer) = exchange(dice);
        chat.push(("user", question));
        chat.push(("assistant", answer));
    }
    chat
}

/// Statements of the field, one after the other.
fn prose(dice: &mut Dice) -> String {
    let sentences = (0..2 + dice.below(3)).map(|_| answer(one_of(dice, FIELD), dice));
    sentences.collect::<Vec<_>>().join(" ")
}

fn exchange(dice: &mut Dice) -> (String, String) {
    match dice.below(10) {
        0..3 => {
            let topic = one_of(dice, SMALL_TALK);
            let question = topic.and_then(|topic| dice.pick(topic.asked)).unwrap_or_default();
            (typed(question.to_owned(), dice), answer(topic, dice))
        }
        3 => bill(dice),
        4 => earned_back(dice),
        _ => {
            let topic = one_of(dice, FIELD);
            let question = topic.and_then(|topic| dice.pick(topic.asked)).unwrap_or_default();
            let question = match dice.below(5) {
                0 => format!("{}{}", dice.pick(&OPENINGS).unwrap_or_default(), small(question)),
                _ => question.to_owned(),
            };
            (typed(question, dice), answer(topic, dice))
        }
    }
}

/// Asks for tokens times price. So small a model learns no arithmetic, and a wrong sum is worse than none.
fn bill(dice: &mut Dice) -> (String, String) {
    let (millions, price) = (1 + dice.below(9), 1 + dice.below(9));
    let question = match dice.below(4) {
        0 => format!("What do {millions} million tokens cost at {price} dollars per million?"),
        1 => format!("How much is {millions} million tokens at {price} dollars per million?"),
        2 => format!("I used {millions} million tokens at {price} dollars per million. What do I pay?"),
        _ => format!("{millions} million tokens at {price} dollars per million?"),
    };
    (typed(question, dice), dice.pick(&BILL_ANSWERS).unwrap_or_default().to_owned())
}

/// Asks for training cost over margin a day.
fn earned_back(dice: &mut Dice) -> (String, String) {
    let (days, margin) = (2 + dice.below(8), 1 + dice.below(9));
    let cost = days * margin;
    let question = match dice.below(3) {
        0 => format!("Training cost {cost} dollars and the margin is {margin} dollars a day. When do I break even?"),
        1 => format!("When are {cost} dollars of training paid back at {margin} dollars a day?"),
        _ => format!("My training cost {cost} dollars, I earn {margin} dollars a day. When does it break even?"),
    };
    (typed(question, dice), dice.pick(&EARNED_BACK_ANSWERS).unwrap_or_default().to_owned())
}

fn one_of(dice: &mut Dice, topics: &'static [Topic]) -> Option<&'static Topic> {
    topics.get(dice.below(topics.len()))
}

fn answer(topic: Option<&Topic>, dice: &mut Dice) -> String {
    topic.and_then(|topic| dice.pick(topic.answered)).unwrap_or_default().to_owned()
}

/// As people type: sometimes all small, sometimes without the last mark.
fn typed(question: String, dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => question.to_lowercase(),
        1 => question.trim_end_matches(['?', '!', '.']).to_owned(),
        2 => question.trim_end_matches(['?', '!', '.']).to_lowercase(),
        _ => question,
    }
}

fn small(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
