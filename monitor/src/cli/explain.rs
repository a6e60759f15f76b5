//! `credwatch explain`

use clap::Args;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::{CommandResult, Commands, output};
use crate::model::DetectionId;

/// Explains a detection: what it means, what is no cause for worry, what to do.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch explain CW-101")]
pub(super) struct ExplainArgs {
    /// The id that an alert shows, such as CW-101.
    #[arg(value_name = "CW-ID", value_parser = detection)]
    id: DetectionId,
}

pub(super) fn explain(args: &ExplainArgs, commands: &dyn Commands) -> CommandResult {
    output::print(&commands.explain(args.id)?)
}

/// Through serde, which knows every id and names them all when it knows none such.
fn detection(text: &str) -> Result<DetectionId, String> {
    let upper = text.to_uppercase();
    let from: StrDeserializer<'_, ValueError> = upper.as_str().into_deserializer();
    DetectionId::deserialize(from).map_err(|error| {
        let text = error.to_string();
        let known = text.split_once("expected ").map_or("", |(_, known)| known);
        format!("this version has no such detection; it has {known}").replace("one of ", "")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_either_case_and_others_named() {
        assert_eq!(detection("CW-101"), Ok(DetectionId::RetiredCredentialRead));
        assert_eq!(detection("cw-902"), Ok(DetectionId::EventsLost));
        let error = detection("CW-999").unwrap_err();
        assert!(
            error.contains("has `CW-101`, `CW-102`") && error.contains("`CW-902`"),
            "{error}"
        );
    }
}
