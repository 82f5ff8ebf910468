//! The text that the small model is trained on: short conversations, made from templates and a seed.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::text::template::Message;

/// Conversations of one corpus.
const CONVERSATIONS: usize = 6000;
/// Of so many, one is kept for validation.
const VALIDATION_EVERY: usize = 20;

/// Conversations to learn from, and some that are never learned from.
#[derive(Debug)]
pub(super) struct Corpus {
    /// To learn from.
    pub(super) training: Vec<Vec<Message>>,
    /// Held out.
    pub(super) validation: Vec<Vec<Message>>,
}

const GREETINGS: &[&str] = &["Hello!", "Hello", "Hi!", "Hi there", "Good morning", "Hey", "hello there", "Good day!"];
const REPLIES: &[&str] = &[
    "Hello! I am a very small model. Ask me about tokens, prices or break-even.",
    "Hi! I was trained in a minute and I know little more than prices.",
    "Good to see you. Every token of this answer is counted.",
    "Hello! What would you like to know about the cost of inference?",
];
const NAMES: &[&str] = &["Ember", "Willow", "Quartz", "Harbor", "Maple", "Comet", "Juniper", "Atlas"];
const FACTS: &[(&[&str], &str)] = &[
    (
        &["What is a token?", "Explain tokens.", "what are tokens"],
        "A token is a piece of text. A model reads tokens and writes tokens, and each one is counted.",
    ),
    (
        &["What is inference?", "Explain inference.", "What does inference mean?"],
        "Inference is running a trained model. It costs a little for each token, and it is where the revenue comes from.",
    ),
    (
        &["What is training?", "What does training cost?", "Explain training cost."],
        "Training is paid once, before the first answer. It is a fixed cost that inference has to earn back.",
    ),
    (
        &["What is break-even?", "When is a model paid back?", "Explain break-even."],
        "Break-even is the day on which the revenue of a model has covered what its training cost.",
    ),
    (
        &["What is margin?", "Explain margin.", "What do we earn?"],
        "Margin is revenue less the cost of inference. It pays back the training, token by token.",
    ),
    (
        &["What is a rate limit?", "Why was I limited?", "Explain rate limits."],
        "A rate limit says how many requests or tokens a key may use in a minute. Wait a little and try again.",
    ),
    (
        &["What is a ledger?", "Explain the ledger.", "Where is my charge recorded?"],
        "A ledger is a book of entries that are never changed. A correction is a new entry, so every bill can be checked.",
    ),
    (
        &["What is a nano-dollar?", "How exact are the prices?", "Do you round?"],
        "A nano-dollar is a billionth of a dollar. Amounts are whole nano-dollars and are rounded once.",
    ),
    (
        &["Who are you?", "What are you?", "Tell me about yourself."],
        "I am a small language model that runs on one processor. I was made to show how tokens become money.",
    ),
    (
        &["How do I use the gateway?", "How do I start?", "Help me begin."],
        "Point your client at the base URL, send your key, and every request is metered and priced.",
    ),
    (
        &["What happens when I hang up?", "Is a cancelled answer free?", "Do I pay if I leave?"],
        "A client that hangs up still pays for the tokens that were written until then, and for no more.",
    ),
    (
        &["What is a journal?", "Can entries be lost?", "What if the power fails?"],
        "Each entry is in the journal, on disk, before the last bytes of its answer leave. Nothing is lost.",
    ),
    (&["Thank you!", "Thanks", "Thanks a lot"], "You are welcome. This answer was counted too."),
    (&["Goodbye", "Bye!", "See you"], "Goodbye! Come back when you have more tokens to spend."),
];

impl Corpus {
    /// The corpus of a seed: the same seed gives the same text for ever.
    #[must_use]
    pub(super) fn generate(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut all: Vec<Vec<Message>> = (0..CONVERSATIONS).map(|_| conversation(&mut random)).collect();
        all.shuffle(&mut random);
        let validation = all.split_off(CONVERSATIONS - CONVERSATIONS / VALIDATION_EVERY);
        Self { training: all, validation }
    }

    /// Every text, in order, for the tokenizer and for the hash.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.training.iter().chain(&self.validation).flatten().map(|message| message.content.as_str())
    }
}

fn pick<'a>(random: &mut StdRng, list: &[&'a str]) -> &'a str {
    list.get(random.random_range(0..list.len().max(1))).copied().unwrap_or_default()
}

fn conversation(random: &mut StdRng) -> Vec<Message> {
    let mut messages = Vec::new();
    if random.random_range(0..8) == 0 {
        messages
            .push(message("system", pick(random, &["You are helpful.", "Be short.", "You are a helpful assistant."])));
    }
    let turns = if random.random_range(0..4) == 0 { 2 } else { 1 };
    for _ in 0..turns {
        let (question, answer) = turn(random);
        messages.push(message("user", &question));
        messages.push(message("assistant", &answer));
    }
    messages
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

fn turn(random: &mut StdRng) -> (String, String) {
    match random.random_range(0..10) {
        0 | 1 => (pick(random, GREETINGS).to_owned(), pick(random, REPLIES).to_owned()),
        2 => price(random),
        3 => recovered(random),
        4 => counting(random),
        _ => {
            let fact = FACTS.get(random.random_range(0..FACTS.len())).copied().unwrap_or_default();
            (pick(random, fact.0).to_owned(), fact.1.to_owned())
        }
    }
}

fn price(random: &mut StdRng) -> (String, String) {
    let (name, cents) = (pick(random, NAMES), random.random_range(1..100));
    let question = match random.random_range(0..3) {
        0 => format!("What does {name} cost?"),
        1 => format!("How much is {name} at {cents} cents?"),
        _ => format!("Is {name} expensive?"),
    };
    (question, format!("{name} costs {cents} cents for a million tokens."))
}

fn recovered(random: &mut StdRng) -> (String, String) {
    let (name, share) = (pick(random, NAMES), random.random_range(1..10) * 10);
    let question =
        pick(random, &["When does NAME break even?", "How much of NAME is paid back?"]).replace("NAME", name);
    (question, format!("{name} has earned back {share} percent of its training cost."))
}

fn counting(random: &mut StdRng) -> (String, String) {
    let from = random.random_range(1..6);
    let numbers: Vec<String> = (from..from + 5).map(|number| number.to_string()).collect();
    (format!("Count from {from}."), format!("{}.", numbers.join(", ")))
}
