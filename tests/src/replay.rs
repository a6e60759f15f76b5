//! Recordings through the pipeline: what each detection says, and that it says it again. Needs
//! neither root nor a kernel.

mod attempts;
mod attribution;
mod binary;
mod detections;
mod digests;
mod evaluating;
mod folding;
mod guarding;
mod humans;
mod outsiders;
mod overprivileged;
mod properties;
mod reaching;
mod resting;
mod rotating;
mod spoken;
mod story;
mod touching;
mod usage;
mod usual;
mod zeek;
