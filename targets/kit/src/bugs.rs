//! The planted defects of a node: one list, from which everything else follows.

/// Makes the enum `Bug`, the table `BUGS` (`&[(&str, &str)]`: name, and what goes wrong) and `FromStr` from one
/// list of `Variant = "name": "what goes wrong"`.
///
/// ```
/// ordeal_kit::bugs! {
///     AckEarly = "ack-early": "a write is acknowledged before it is on disk",
///     StaleRead = "stale-read": "a read is answered from what this node happens to have",
/// }
/// assert_eq!("ack-early".parse(), Ok(Bug::AckEarly));
/// assert_eq!(BUGS[1].0, "stale-read");
/// assert!("other".parse::<Bug>().unwrap_err().contains("ack-early, stale-read"));
/// ```
#[macro_export]
macro_rules! bugs {
    ($($variant:ident = $name:literal: $about:literal),+ $(,)?) => {
        /// A planted defect. Switched on, one at a time, with `--bug`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $about] $variant,)+
        }

        /// The bugs that `--bug` knows: name, and what goes wrong.
        pub const BUGS: &[(&str, &str)] = &[$(($name, $about)),+];

        impl std::str::FromStr for Bug {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($name => Ok(Bug::$variant),)+
                    _ => Err(concat!("no such bug; there are ", $crate::bugs!(@names $($name)+)).to_owned()),
                }
            }
        }
    };
    (@names $first:literal $($rest:literal)*) => { concat!($first, $(", ", $rest),*) };
}
