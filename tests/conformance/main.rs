//! What other programs made of thousands of inputs, against what we make of them.
#![expect(missing_docs, reason = "a test")]

mod excuse;
mod vectors;
