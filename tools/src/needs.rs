//! Queries a program for its needs (`Soil.Needs`). `soil needs` shows them, and `soil run` checks
//! them before it starts the program.

mod answer;
mod ask;
mod check;
mod show;
mod storage;

pub use ask::Question;
pub use check::complete;

use crate::cli::ShowNeeds;
use crate::exit_status::NOT_STARTED;
use crate::failure::Failure;
use crate::messages::print_error;
use crate::program;

/// Runs `soil needs` and returns the text to print.
pub fn show(options: &ShowNeeds) -> Result<String, Failure> {
    let program = program::inspect(&options.program)?;
    let answer = match program.has_needs {
        true => Question::of_needs(options).ask()?,
        false => answer::Answer::default(),
    };
    if let Some(ends) = &answer.ends
        && ends.status != 0
    {
        print_error(&ends.error);
        let failure = Failure::on(&options.program, "says no needs with these arguments");
        return Err(failure.remedy("its message is above; give those that it needs after --"));
    }
    match options.json {
        true => show::json(&options.program, &answer),
        false => Ok(show::text(&options.program, &answer)),
    }
}

/// The status if the query fails or the options don't meet the program's needs.
const REFUSED: u8 = NOT_STARTED;
