"""What a scorer must know of the lender so that its features are those of the pipeline."""

from msgspec import Struct

from components.credit.book.contract import ATTRIBUTE_PREFIX, HISTORY
from components.credit.book.mapping import Attribute, Mapping, Rate


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a mapping that changes features. It travels with the model, as JSON.

    Args:
        currency: Currency that all amounts are converted to.
        time_zone: Zone in which a time falls on a day.
        absent: Tables that the lender does not have; their features are left out.
        attributes: Ready attributes of applications, by name.
        rates: Exchange rates of the other currencies.
    """

    currency: str
    time_zone: str
    absent: list[str]
    attributes: dict[str, Attribute]
    rates: list[Rate]

    @property
    def by_attributes(self) -> bool:
        """Whether applications are decided by ready attributes: the lender delivers these and no history."""
        return bool(self.attributes) and set(HISTORY) <= set(self.absent)

    def attribute_columns(self, *, protected: bool) -> dict[str, Attribute]:
        """The ready attributes by column of ``applications``: the protected ones, or those that models may use."""
        return {
            ATTRIBUTE_PREFIX + name: attribute
            for name, attribute in sorted(self.attributes.items())
            if attribute.protected == protected
        }


class ModelInputs(Struct, frozen=True, forbid_unknown_fields=True):
    """The inputs that a released model needs of each application.

    Args:
        version: The model.
        features: Names of its inputs, in order, then of the features that only its release's hard rules read.
        recipe: How they follow from the tables.
    """

    version: str
    features: list[str]
    recipe: Recipe


def recipe_of(mapping: Mapping) -> Recipe:
    """The recipe that follows from a lender's mapping."""
    return Recipe(mapping.currency, mapping.time_zone, sorted(mapping.absent), mapping.attributes, mapping.rates)
