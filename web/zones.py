"""Time zones to choose from."""

from zoneinfo import available_timezones

from languages import N_
from web.languages import _

US_ZONES = {
    "America/New_York": N_("Eastern (New York)"),
    "America/Chicago": N_("Central (Chicago)"),
    "America/Denver": N_("Mountain (Denver)"),
    "America/Phoenix": N_("Arizona (Phoenix)"),
    "America/Los_Angeles": N_("Pacific (Los Angeles)"),
    "America/Anchorage": N_("Alaska (Anchorage)"),
    "Pacific/Honolulu": N_("Hawaii (Honolulu)"),
    "America/Puerto_Rico": N_("Atlantic (Puerto Rico)"),
}


BR_ZONES = {
    "America/Sao_Paulo": "São Paulo, Brasília",
    "America/Bahia": "Bahia",
    "America/Fortaleza": "Fortaleza",
    "America/Manaus": "Manaus",
    "America/Cuiaba": "Cuiabá",
    "America/Rio_Branco": "Rio Branco",
    "America/Noronha": "Fernando de Noronha",
}


PLACES = "Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".split()


def _other_zones() -> dict[str, str]:
    listed = {*US_ZONES, *BR_ZONES}
    return {
        name: name.replace("_", " ")
        for name in sorted(available_timezones() - listed)
        if name.partition("/")[0] in PLACES
    }


ZONE_GROUPS = {
    N_("United States"): US_ZONES,
    N_("Brazil"): BR_ZONES,
    N_("Everywhere else"): _other_zones(),
}


ZONES = {name: label for zones in ZONE_GROUPS.values() for name, label in zones.items()}


def zone_groups() -> dict[str, dict[str, str]]:
    """The time zones grouped by region, with translated names."""
    return {
        _(heading): {name: _(label) for name, label in zones.items()}
        for heading, zones in ZONE_GROUPS.items()
    }
