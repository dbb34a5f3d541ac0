//! The samples of a scenario file: events that its author made up.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::Attributes;
use crate::scenario::file::{OneOrMany, ScenarioFile};
use crate::scenario::written;

/// What a sample says of the run; the member that it makes up is not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub event: Attributes,
    pub anchor: Option<Timestamp>,
}

/// The samples of a file that loads without an error, in the order written. `zone` is the scenario's.
///
/// None of a file that does not: its load says why.
pub fn samples(bytes: &[u8], zone: &TimeZone) -> Vec<Sample> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let Ok(file) = serde_yaml::from_slice::<ScenarioFile>(bytes) else { return Vec::new() };
    let items = file.samples.map_or(Vec::new(), |OneOrMany(items)| items);
    let sample = |item: crate::scenario::file::SampleItem| Sample {
        event: item.event.map(|map| map.0).unwrap_or_default(),
        anchor: item.anchor.and_then(|text| written::start_of(&text, zone).ok()),
    };
    items.into_iter().map(sample).collect()
}
