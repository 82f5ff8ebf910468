//! What the small model can talk about: written by hand for this project.

/// Questions that mean the same, and answers to any of them.
pub(super) struct Topic {
    pub(super) asked: &'static [&'static str],
    pub(super) answered: &'static [&'static str],
}

const fn topic(asked: &'static [&'static str], answered: &'static [&'static str]) -> Topic {
    Topic { asked, answered }
}

/// Small talk: drawn more often than the rest, because a first try is a greeting.
pub(super) const SMALL_TALK: &[Topic] = &[
    topic(
        &[
            "Hello!",
            "Hello",
            "Hi",
            "Hi!",
            "Hi there!",
            "Hey",
            "Hello there",
            "Good morning",
            "Good evening",
            "Say hello",
            "Say hi",
            "Hello, world!",
            "Hello, model!",
        ],
        &[
            "Hello! Ask me about tokens, prices or training.",
            "Hello! How can I help you today?",
            "Hello, nice to meet you. What would you like to know?",
        ],
    ),
    topic(
        &["How are you?", "How are you today?", "How is it going?", "Are you well?"],
        &["I am well, thank you. Every token is counted.", "Very well, thank you. How can I help you?"],
    ),
    topic(
        &[
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Tell me about yourself",
            "Introduce yourself",
            "Which model are you?",
        ],
        &[
            "I am a very small language model that is part of Tollgate.",
            "I am tollgate-small, a tiny model trained on one processor in a few minutes.",
        ],
    ),
    topic(
        &["Thank you", "Thanks!", "Thank you very much", "Great, thanks", "That helps, thank you"],
        &["You are welcome!", "You are welcome. Ask me more if you like."],
    ),
    topic(
        &["Bye", "Goodbye", "Good night", "See you later"],
        &["Goodbye! Your usage has been metered.", "Goodbye, and come back soon."],
    ),
    topic(
        &["What can you do?", "Help", "Help me", "What do you know?", "What can I ask you?", "Can you help me?"],
        &[
            "I can talk about tokens, prices, training cost, margin, break-even, rate limits and ledgers.",
            "I answer short questions about how inference is metered, priced and billed.",
        ],
    ),
    topic(
        &["Say this is a test", "Test", "This is a test", "Ping", "Are you there?", "Does this work?"],
        &["This is a test, and it works.", "Yes, I am here. It works."],
    ),
    topic(
        &["Tell me a joke", "Make me laugh", "Do you know a joke?", "Another joke"],
        &[
            "Why did the token cross the gate? It had paid the toll.",
            "A model walked into a bar and ordered one token. It was streamed.",
        ],
    ),
    topic(
        &["Write a haiku", "Write a poem", "Write me a short poem", "Write a haiku about tokens"],
        &[
            "Tokens pass the gate,\none by one they pay their toll.\nThe ledger balances.",
            "A small model speaks,\nthe meter counts every word.\nThe training is paid.",
        ],
    ),
    topic(
        &["Tell me a story", "Tell me a long story", "Once upon a time", "Write a story"],
        &[
            "Once upon a time there was a small model that lived behind a gate. Every day people came and asked it questions. For every answer they paid a small toll. The keeper of the gate wrote each toll into a ledger, and never twice. After many days the tolls had paid for the training of the model. From then on every answer earned a margin, and the keeper was content. The end.",
        ],
    ),
    topic(
        &["Count to ten", "Count from one to ten", "Count to 10", "Please count to ten"],
        &["1, 2, 3, 4, 5, 6, 7, 8, 9, 10."],
    ),
    topic(
        &[
            "What is the weather?",
            "Who won the game?",
            "What is the capital of France?",
            "Write a program",
            "Who is the president?",
            "What is the meaning of life?",
            "Translate this into French",
            "How do I cook rice?",
            "What is quantum physics?",
            "What time is it?",
            "What is 2 + 2?",
            "Tell me the news",
            "How far is the moon?",
            "Who wrote this book?",
        ],
        &[
            "I do not know that. I am a very small model and know only about tokens and their cost.",
            "That is beyond me. Ask me about tokens, prices or training.",
        ],
    ),
];

/// The field: how inference is metered, priced and earned back.
pub(super) const FIELD: &[Topic] = &[
    topic(
        &["What is a token?", "What are tokens?", "Explain tokens", "What does token mean?"],
        &[
            "A token is a piece of text, often a part of a word. Models read and write tokens, and tokens are what is billed.",
            "A token is the unit a model reads and writes. One token is about four letters of English.",
        ],
    ),
    topic(
        &["What is a tokenizer?", "How is text turned into tokens?", "Explain the tokenizer"],
        &[
            "A tokenizer cuts text into tokens and puts tokens together to text again.",
            "The tokenizer turns text into numbers. It belongs to the model, so only the model can count exactly.",
        ],
    ),
    topic(
        &["What is inference?", "Explain inference", "What does inference mean?", "What is inference cost?"],
        &[
            "Inference is the use of a trained model: it reads a prompt and writes an answer. It costs processor time for every token.",
            "Inference means running a trained model. Its cost comes back with every request.",
        ],
    ),
    topic(
        &["What is training?", "Explain training", "What does training mean?", "How are models trained?"],
        &[
            "Training makes a model: it reads much text and learns to guess the next token. It is paid once, before the first answer.",
            "Training is the work that makes a model. It costs processor time and energy once.",
        ],
    ),
    topic(
        &[
            "What does training cost?",
            "How much does training cost?",
            "What is the cost of training?",
            "Is training expensive?",
        ],
        &[
            "Training costs processor time and energy. Large models cost millions, I cost less than a cent.",
            "It depends on the size of the model. My own training took a few minutes and cost less than a cent.",
        ],
    ),
    topic(
        &[
            "What is the difference between training and inference?",
            "Training or inference?",
            "How do training and inference differ?",
            "Compare training and inference",
        ],
        &[
            "Training is paid once, inference is paid for every token.",
            "Training makes the model and is paid once. Inference uses the model and is paid with every request.",
        ],
    ),
    topic(
        &[
            "What is break-even?",
            "Explain break-even",
            "When is training paid back?",
            "When does a model break even?",
            "When do I break even?",
            "What does break-even mean?",
        ],
        &[
            "A model breaks even when the margin of its answers has paid for its training.",
            "Break-even is the point where margin has earned back the training cost. After it, every token earns.",
        ],
    ),
    topic(
        &[
            "What is margin?",
            "What is a margin?",
            "Explain margin",
            "How is margin computed?",
            "How do I compute margin?",
        ],
        &[
            "Margin is what customers pay minus what inference costs.",
            "Margin is revenue minus cost. A margin of 60 percent keeps 60 cents of every dollar.",
        ],
    ),
    topic(
        &["What is revenue?", "Explain revenue", "What do customers pay?"],
        &[
            "Revenue is what customers are charged: tokens times price.",
            "Revenue is the sum of all charges before any cost is taken away.",
        ],
    ),
    topic(
        &[
            "What is a price?",
            "How are tokens priced?",
            "How does pricing work?",
            "Explain pricing",
            "What does a token cost?",
            "How much is a token?",
        ],
        &[
            "A price is dollars per million tokens. Input and output tokens have their own prices.",
            "Tokens are priced per million. Output costs more than input, because each output token needs its own step.",
        ],
    ),
    topic(
        &["Why does output cost more?", "Why are output tokens more expensive?", "Why is input cheaper?"],
        &[
            "Input tokens are read together, output tokens are written one by one. So output takes more processor time.",
            "Each output token needs a whole pass through the model. Input shares one pass.",
        ],
    ),
    topic(
        &["What is a cached token?", "What are cached tokens?", "What is prompt caching?", "Explain caching"],
        &[
            "A cached token was read before and is not computed again, so it is cheaper.",
            "Prompt caching keeps what was computed for the beginning of a prompt. Cached tokens cost less.",
        ],
    ),
    topic(
        &[
            "What is a rate limit?",
            "What are rate limits?",
            "Explain rate limits",
            "Why was I limited?",
            "What does 429 mean?",
        ],
        &[
            "A rate limit says how many requests or tokens a key may use in a minute. Above it the answer is 429.",
            "Rate limits keep one customer from using everything. Wait a little and try again.",
        ],
    ),
    topic(
        &[
            "What is a budget?",
            "Explain budgets",
            "What happens when my budget is used up?",
            "What is a spending limit?",
        ],
        &[
            "A budget is the most that a key may spend. When it is used up, requests are refused.",
            "A budget holds money before a request and settles it after. It is never overspent.",
        ],
    ),
    topic(
        &["What is a ledger?", "Explain the ledger", "What is a ledger for?", "How does the ledger work?"],
        &[
            "A ledger is a book of entries that are never changed. Each charge is written once, and the sums balance.",
            "The ledger writes down every charge and every cost. What is wrong is corrected by a new entry.",
        ],
    ),
    topic(
        &["What is a journal?", "Explain the journal", "Why is there a journal?"],
        &[
            "The journal is written before anything else, so that a crash loses no charge.",
            "The journal is a file of events. After a crash it is read again, and every charge is counted once.",
        ],
    ),
    topic(
        &[
            "What is a gateway?",
            "What is Tollgate?",
            "What does Tollgate do?",
            "Explain Tollgate",
            "What is an inference gateway?",
        ],
        &[
            "Tollgate is an inference gateway. It meters, prices, bills and limits every token.",
            "Tollgate stands between customers and models. It counts tokens, charges for them and shows the margin.",
        ],
    ),
    topic(
        &["What is metering?", "How is usage counted?", "Explain metering", "How are tokens counted?"],
        &[
            "Metering counts the tokens of every request, also of those that break off.",
            "Usage is counted by the model's own tokenizer, and each request is counted exactly once.",
        ],
    ),
    topic(
        &["What is streaming?", "Explain streaming", "How does streaming work?", "Why stream?"],
        &[
            "Streaming sends each token as soon as it is written. The meter counts to the end of the stream.",
            "A stream gives the answer piece by piece, so that nobody waits for the whole.",
        ],
    ),
    topic(
        &["What is prefill?", "Explain prefill", "What is decode?", "What are prefill and decode?"],
        &[
            "Prefill reads the prompt, decode writes the answer. Decode takes longer for each token.",
            "Prefill is the reading of the prompt in one pass. Decode is the writing, one token a step.",
        ],
    ),
    topic(
        &["What is a prompt?", "Explain prompts", "What does prompt mean?"],
        &[
            "A prompt is the text that a model is given. It is counted as input tokens.",
            "A prompt is what you write to a model. Longer prompts cost more.",
        ],
    ),
    topic(
        &["What is utilisation?", "Why does utilisation matter?", "Explain utilisation", "What is idle time?"],
        &[
            "Utilisation is the share of time in which a machine earns. Idle time costs too.",
            "A machine costs money whether it works or not. The higher the utilisation, the cheaper each token.",
        ],
    ),
    topic(
        &[
            "What does energy cost?",
            "How much energy does an answer take?",
            "Explain energy cost",
            "What is energy per token?",
        ],
        &[
            "Energy is watts times hours. One short answer of mine takes far less than a watt hour.",
            "Energy cost is watts times time times the price of power. For me it is very little.",
        ],
    ),
    topic(
        &["What is an invoice?", "How does billing work?", "Explain billing", "How am I billed?"],
        &[
            "An invoice sums up the charges of a month. Each line can be traced to its requests.",
            "Billing adds up tokens times price for each request, rounds once and writes it into the ledger.",
        ],
    ),
    topic(
        &["What is a refund?", "Can I get a refund?", "What if I am charged wrongly?"],
        &[
            "A refund is a new entry in the ledger that gives money back. The old entry stays.",
            "Wrong charges are corrected by a new entry. Nothing is ever erased.",
        ],
    ),
    topic(
        &["What is a model?", "What is a language model?", "Explain language models"],
        &[
            "A language model guesses the next token, again and again. That is how it writes.",
            "A language model is a large table of numbers that was trained to guess the next token.",
        ],
    ),
    topic(
        &["How do I save money?", "How can I spend less?", "How do I make it cheaper?", "How to lower cost?"],
        &[
            "Write shorter prompts, ask for shorter answers and use the cache.",
            "Use a smaller model where it is good enough, and set a budget.",
        ],
    ),
    topic(
        &["What is an API key?", "What is a key?", "Explain keys", "Why do I need a key?"],
        &[
            "A key says who asks. Its usage, limits and budget are counted under it.",
            "Each request carries a key, so that it is charged to the right customer. Keep it secret.",
        ],
    ),
    topic(
        &["What is latency?", "Explain latency", "What is time to first token?", "Why is it slow?"],
        &[
            "Latency is the time you wait. The time to the first token depends on the queue and the prompt.",
            "Time to first token is queue time plus prefill time.",
        ],
    ),
    topic(
        &["What is a batch?", "Explain batching", "Why batch requests?"],
        &[
            "A batch runs several requests together, so that the weights are read only once.",
            "Batching shares the work of one pass between requests, and makes each token cheaper.",
        ],
    ),
];
