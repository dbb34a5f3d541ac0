//! `amadare schema`: the JSON Schema of scenario files, for editors.

use clap::{Args, ValueEnum};

use super::{Failure, print};
use crate::scenario::schema::{Language, json_schema};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The language that keys are explained in
    #[arg(long, value_enum, default_value = "en")]
    lang: Lang,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    /// English
    En,
    /// Japanese
    Ja,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let language = match options.lang {
        Lang::En => Language::English,
        Lang::Ja => Language::Japanese,
    };
    print(&format!("{:#}\n", json_schema(language)))
}
