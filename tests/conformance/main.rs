//! What other programs made of thousands of inputs, against what we make of them.
#![expect(unreachable_pub, reason = "the modules of a test are its own")]

mod clockstep;
mod corpus;
mod drive;
mod dst;
mod every;
mod excuse;
mod ext;
mod ids;
mod next;
mod parse;
mod plain;
mod run;
mod tally;
mod vectors;
