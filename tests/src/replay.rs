//! Recordings through the pipeline: what each detection says, and that it says it again. Needs
//! neither root nor a kernel.

#[cfg(test)]
mod attribution;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod detections;
#[cfg(test)]
mod folding;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod story;
#[cfg(test)]
mod usage;
