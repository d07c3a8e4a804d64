"""How Mapillary Vistas' labels merge into Cityscapes' 19 classes, by their readable names."""

LABELS = {"v1.2": 66, "v2.0": 124}  # how many labels a version has

# He et al. (ECCV 2020): 25 of the 66 labels of v1.2; the rest is ignored, crosswalks and signs' backs too.
V1_2 = {
    "Road": "road", "Manhole": "road", "Lane Marking - General": "road",
    "Sidewalk": "sidewalk", "Curb": "sidewalk",
    "Building": "building", "Wall": "wall", "Fence": "fence",
    "Pole": "pole", "Utility Pole": "pole",
    "Traffic Light": "traffic light", "Traffic Sign (Front)": "traffic sign",
    "Vegetation": "vegetation", "Terrain": "terrain", "Sky": "sky",
    "Person": "person", "Bicyclist": "rider", "Motorcyclist": "rider", "Other Rider": "rider",
    "Car": "car", "Truck": "truck", "Bus": "bus", "On Rails": "train", "Motorcycle": "motorcycle", "Bicycle": "bicycle",
}  # fmt: skip

# Ours, as no official relation of the two versions exists: what v2.0 made of a merged label of v1.2 stays merged.
V2_0 = {
    "Person Group": "person", "Traffic Sign - Direction (Front)": "traffic sign",
    "Traffic Sign - Parking": "traffic sign", "Traffic Sign - Temporary (Front)": "traffic sign",
}  # fmt: skip


def merge(name: str, version: str) -> str | None:
    """The Cityscapes class of a label, or None where it is ignored; 55 of the 124 labels of v2.0 have one."""
    if version == "v1.2" or name in V1_2:
        return V1_2.get(name)
    if name.startswith("Lane Marking") and not name.endswith("Crosswalk"):
        return "road"
    return "traffic light" if name.startswith("Traffic Light - ") else V2_0.get(name)
