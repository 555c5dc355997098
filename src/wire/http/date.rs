//! The time of an answer as text (IMF-fixdate, RFC 9110, section 5.6.7). Reads no clock: seconds come as an argument.

use std::fmt::Write;

/// The text of one second, written anew only when the second changes.
#[derive(Debug, Clone, Default)]
pub struct HttpDate {
    second: u64,
    /// Empty until the first call.
    text: String,
}

impl HttpDate {
    /// No date yet; nothing is allocated.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text for this many seconds since 1970, such as `Sun, 06 Nov 1994 08:49:37 GMT`. Four digits hold a year, so
    /// what lies beyond the year 9999 is written as its last second.
    pub fn text(&mut self, unix_seconds: u64) -> &str {
        if self.second != unix_seconds || self.text.is_empty() {
            self.second = unix_seconds;
            self.text.clear();
            write_date(unix_seconds.min(LAST_SECOND), &mut self.text);
        }
        &self.text
    }
}

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;
/// 1970-01-01 was the fifth of these.
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn write_date(seconds: u64, out: &mut String) {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let weekday = WEEKDAYS[(days + 4) as usize % 7];
    let month = MONTHS[month as usize];
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    write!(out, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
        .expect("writing to a string can't fail");
}

/// Year, month from zero, and day from one of the day that lies `days` after 1970-01-01.
///
/// Counted in years that begin in March, so that the leap day is the last of its year; 400 of them are 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    /// From 0000-03-01 to 1970-01-01.
    const BEFORE_1970: u64 = 719_468;
    let days = days + BEFORE_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    // Takes away the leap days that have passed: one in 4 years (1,460 days), none in 100 (36,524), one in 400.
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on, as from August on, have 153 days: 31, 30, 31, 30, 31.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    (era * 400 + year_of_era + u64::from(month < 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_seconds_have_known_names() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate::new().text(second), text);
        }
    }

    #[test]
    fn every_day_of_800_years_follows_the_calendar() {
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..800 * 366 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize];
            (year, month, day) = match (month, day) {
                (11, 31) => (year + 1, 0, 1),
                (_, day) if day == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn the_text_is_kept_within_a_second_and_follows_the_next_in_place() {
        let mut date = HttpDate::new();
        assert_eq!(date.text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        let place = date.text(0).as_ptr();
        assert_eq!(date.text(1), "Thu, 01 Jan 1970 00:00:01 GMT");
        assert_eq!(date.text(0), "Thu, 01 Jan 1970 00:00:00 GMT", "the clock of the wall may go back");
        assert_eq!(date.text(1).as_ptr(), place);
    }
}
