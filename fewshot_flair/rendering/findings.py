"""What a rendered eye has: the findings, the grade they make, and the categories they belong to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GRADES", "QUADRANTS", "Findings"]

GRADES = (
    "no diabetic retinopathy",
    "mild diabetic retinopathy",
    "moderate diabetic retinopathy",
    "severe diabetic retinopathy",
    "proliferative diabetic retinopathy",
)
"""The five grades of diabetic retinopathy, from none to proliferative."""
QUADRANTS = ("superotemporal", "superonasal", "inferotemporal", "inferonasal")
"""The four quarters of a photograph, about the centre of the field."""

# Haemorrhages of these have another cause, so such an eye has no grade of diabetic retinopathy.
_NOT_DIABETIC = frozenset({"branch retinal vein occlusion"})


@dataclass(frozen=True)
class Findings:
    """The findings of one eye, as counted while it was drawn.

    Parameters
    ----------
    microaneurysms : int
        Number of microaneurysms.
    haemorrhages : tuple of four int
        Intraretinal haemorrhages in each of `QUADRANTS` (about the centre of the field).
    hard_exudates : int
        Groups of hard exudates.
    exudates_at_macula : bool
        Whether an exudate lies within one disc diameter of the fovea.
    cotton_wool_spots : int
        Number of cotton-wool spots.
    venous_beading, irma : tuple of four bool
        Quadrants with venous beading, and with intraretinal microvascular abnormalities.
    new_vessels_disc, preretinal_haemorrhage, fibrous_tissue : bool
        Neovascularisation at the disc; blood before the retina; fibrovascular membranes.
    new_vessels_elsewhere : int
        Number of tufts of new vessels away from the disc.
    drusen : int
        Number of drusen.
    cup_to_disc : float
        Vertical cup-to-disc ratio.
    others : tuple of str
        Further conditions, by their names in the expert-knowledge dictionary.
    """

    microaneurysms: int = 0
    haemorrhages: tuple[int, int, int, int] = (0, 0, 0, 0)
    hard_exudates: int = 0
    exudates_at_macula: bool = False
    cotton_wool_spots: int = 0
    venous_beading: tuple[bool, bool, bool, bool] = (False, False, False, False)
    irma: tuple[bool, bool, bool, bool] = (False, False, False, False)
    new_vessels_disc: bool = False
    new_vessels_elsewhere: int = 0
    preretinal_haemorrhage: bool = False
    fibrous_tissue: bool = False
    drusen: int = 0
    cup_to_disc: float = 0.4
    others: tuple[str, ...] = ()

    @property
    def proliferative(self) -> bool:
        """Whether there are new vessels, or the bleeding and scars that they leave."""
        return (
            self.new_vessels_disc
            or self.new_vessels_elsewhere > 0
            or self.preretinal_haemorrhage
            or self.fibrous_tissue
        )

    @property
    def grade(self) -> int:
        """Grade 0-4 of the international clinical scale.

        Wilkinson et al., Ophthalmology 110 (2003): microaneurysms only are mild; more than that is
        moderate; more than 20 haemorrhages in each of four quadrants, venous beading in two, or IRMA in
        one is severe; neovascularisation, vitreous or preretinal haemorrhage is proliferative.
        """
        if self.proliferative:
            return 4
        if min(self.haemorrhages) > 20 or sum(self.venous_beading) >= 2 or any(self.irma):
            return 3
        if sum(self.haemorrhages) or self.hard_exudates or self.cotton_wool_spots or any(self.venous_beading):
            return 2
        return 1 if self.microaneurysms else 0

    @property
    def diabetic(self) -> bool:
        """Whether the grade of diabetic retinopathy means something for this eye."""
        return not _NOT_DIABETIC.intersection(self.others)

    @property
    def glaucomatous(self) -> bool:
        """Whether the cup is as large as in glaucoma (a ratio above 0.65)."""
        return self.cup_to_disc > 0.65

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category of the expert-knowledge dictionary that is true of this eye."""
        found = list(self.others)
        lesions = self._lesion_categories()
        if self.diabetic:
            found.append(GRADES[self.grade])
            found += self._edema_categories()
            if self.grade < 4:
                found.append("no proliferative diabetic retinopathy")
        found += lesions
        if self.drusen >= 8:
            found += ["drusens", "age-related macular degeneration"]
        if self.glaucomatous:
            found.append("glaucoma")
        healthy = not lesions and not self.others and self.drusen < 8 and not self.glaucomatous
        found.append("normal" if healthy and self.grade == 0 else "a disease")
        return tuple(dict.fromkeys(found))

    def _lesion_categories(self) -> list[str]:
        found = []
        if self.microaneurysms:
            found += ["microaneurysms", "red small dots"]
        if sum(self.haemorrhages) or self.preretinal_haemorrhage:
            found.append("haemorrhages")
        if self.hard_exudates:
            found += ["hard exudates", "exudates"]
        if self.cotton_wool_spots:
            found += ["cotton wool spots", "soft exudates"]
        if any(self.irma):
            found.append("intraretinal microvascular abnormalities")
        return found

    def _edema_categories(self) -> list[str]:
        if not self.hard_exudates:
            return ["no referable diabetic macular edema"]
        if self.exudates_at_macula:
            return ["diabetic macular edema"]
        return ["non clinically significant diabetic macular edema"]
