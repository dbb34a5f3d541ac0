//! Faults put in on purpose, to see that the simulator catches them. For tests only.
//!
//! Without the feature `mutations` there is nothing here but a constant `false`. With it, a test chooses
//! one [`Mutation`] for its thread, and the line that asks for it does the wrong thing. A release is
//! never built with it.

/// One fault; each breaks one rule of the delivery protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A courier has the parcel before its row is durable.
    ReleaseBeforeFlush,
    /// A caller is told before what it was told is durable.
    AnswerBeforeFlush,
    /// The row of a parcel is never written.
    RowNotWritten,
    /// A retry gets a new key.
    NewKeyOnRetry,
    /// Recovery puts other bytes under a key.
    OtherBytesOnRecovery,
    /// What is settled is sent again when its row comes back.
    SettledIsReplayed,
    CutoffIgnored,
    /// What was for the owner before goes to the LINE user that is somebody else now.
    LinkIgnored,
    NoTombstone,
    OutcomeDropped,
    ExitIgnored,
    /// Send hours are taken as UTC.
    HoursOfAnotherZone,
    FailedCommitIgnored,
    GenerationKept,
    /// Recovery takes every row for one that was never attempted.
    RecoveredAsUnsent,
    DuplicatesIgnored,
    BlockIgnored,
    LateAfterAnchor,
    /// The last step comes first.
    OrderReversed,
    /// A multicast that may have been accepted is put together anew when one falls out of it.
    AmbiguousMulticastCutAnew,
    /// Ages are counted by a clock that people move.
    AgeByTheWallAlone,
    /// A wall clock that jumps is believed.
    ClockBelieved,
    HoldIgnored,
    /// A restored store goes on as if nothing had been sent since.
    RestoreForgotten,
    CapsIgnored,
    /// Who wants no messages gets them.
    OptOutIgnored,
    /// A run goes through all arms of a container.
    BothArms,
    /// An entry by the date that a run was moved to is not counted.
    DateRunTwice,
    PausedSends,
    /// What has ended goes on.
    EndsIgnored,
    DaysIgnored,
    /// Who is kept for comparison gets messages.
    HoldoutIgnored,
    /// A change that is to start nothing does.
    SilentStarts,
    /// What is in flight does not count for a cap.
    InFlightUncapped,
    /// A sweep over all members begins anew with a start.
    SweepRestarts,
    /// A sweep over all members ends with the process.
    SweepForgotten,
    /// That a moment on the clock was handled is not stored.
    TickTwice,
}

impl Mutation {
    pub const ALL: [Mutation; 37] = [
        Mutation::ReleaseBeforeFlush,
        Mutation::AnswerBeforeFlush,
        Mutation::RowNotWritten,
        Mutation::NewKeyOnRetry,
        Mutation::OtherBytesOnRecovery,
        Mutation::SettledIsReplayed,
        Mutation::CutoffIgnored,
        Mutation::LinkIgnored,
        Mutation::NoTombstone,
        Mutation::OutcomeDropped,
        Mutation::ExitIgnored,
        Mutation::HoursOfAnotherZone,
        Mutation::FailedCommitIgnored,
        Mutation::GenerationKept,
        Mutation::RecoveredAsUnsent,
        Mutation::DuplicatesIgnored,
        Mutation::BlockIgnored,
        Mutation::LateAfterAnchor,
        Mutation::OrderReversed,
        Mutation::AmbiguousMulticastCutAnew,
        Mutation::AgeByTheWallAlone,
        Mutation::ClockBelieved,
        Mutation::HoldIgnored,
        Mutation::RestoreForgotten,
        Mutation::CapsIgnored,
        Mutation::OptOutIgnored,
        Mutation::BothArms,
        Mutation::DateRunTwice,
        Mutation::PausedSends,
        Mutation::EndsIgnored,
        Mutation::DaysIgnored,
        Mutation::HoldoutIgnored,
        Mutation::SilentStarts,
        Mutation::InFlightUncapped,
        Mutation::SweepRestarts,
        Mutation::SweepForgotten,
        Mutation::TickTwice,
    ];
}

#[cfg(feature = "mutations")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Puts a fault into this thread, or takes it out.
#[cfg(feature = "mutations")]
pub fn set(mutation: Option<Mutation>) {
    CHOSEN.set(mutation);
}

/// True if this fault is in.
#[cfg(feature = "mutations")]
pub fn is(mutation: Mutation) -> bool {
    CHOSEN.get() == Some(mutation)
}

/// Never true: the feature `mutations` is off.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub const fn is(_: Mutation) -> bool {
    false
}
