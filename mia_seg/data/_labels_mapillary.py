"""How Mapillary Vistas' labels merge into Cityscapes' 19 classes, by their readable names."""

# Each version's readable label names, as its config lists them; the position is the pixel value.
NAMES = {
    version: tuple(text.strip().replace("\n", " ").split("; "))
    for version, text in {
        "v1.2": """
Bird; Ground Animal; Curb; Fence; Guard Rail; Barrier; Wall; Bike Lane; Crosswalk - Plain; Curb Cut; Parking;
Pedestrian Area; Rail Track; Road; Service Lane; Sidewalk; Bridge; Building; Tunnel; Person; Bicyclist; Motorcyclist;
Other Rider; Lane Marking - Crosswalk; Lane Marking - General; Mountain; Sand; Sky; Snow; Terrain; Vegetation; Water;
Banner; Bench; Bike Rack; Billboard; Catch Basin; CCTV Camera; Fire Hydrant; Junction Box; Mailbox; Manhole;
Phone Booth; Pothole; Street Light; Pole; Traffic Sign Frame; Utility Pole; Traffic Light; Traffic Sign (Back);
Traffic Sign (Front); Trash Can; Bicycle; Boat; Bus; Car; Caravan; Motorcycle; On Rails; Other Vehicle; Trailer;
Truck; Wheeled Slow; Car Mount; Ego Vehicle; Unlabeled
""",
        "v2.0": """
Bird; Ground Animal; Ambiguous Barrier; Concrete Block; Curb; Fence; Guard Rail; Barrier; Road Median; Road Side;
Lane Separator; Temporary Barrier; Wall; Bike Lane; Crosswalk - Plain; Curb Cut; Driveway; Parking; Parking Aisle;
Pedestrian Area; Rail Track; Road; Road Shoulder; Service Lane; Sidewalk; Traffic Island; Bridge; Building; Garage;
Tunnel; Person; Person Group; Bicyclist; Motorcyclist; Other Rider; Lane Marking - Dashed Line;
Lane Marking - Straight Line; Lane Marking - Zigzag Line; Lane Marking - Ambiguous; Lane Marking - Arrow (Left);
Lane Marking - Arrow (Other); Lane Marking - Arrow (Right); Lane Marking - Arrow (Split Left or Straight);
Lane Marking - Arrow (Split Right or Straight); Lane Marking - Arrow (Straight); Lane Marking - Crosswalk;
Lane Marking - Give Way (Row); Lane Marking - Give Way (Single); Lane Marking - Hatched (Chevron);
Lane Marking - Hatched (Diagonal); Lane Marking - Other; Lane Marking - Stop Line; Lane Marking - Symbol (Bicycle);
Lane Marking - Symbol (Other); Lane Marking - Text; Lane Marking (only) - Dashed Line;
Lane Marking (only) - Crosswalk; Lane Marking (only) - Other; Lane Marking (only) - Test; Mountain; Sand; Sky; Snow;
Terrain; Vegetation; Water; Banner; Bench; Bike Rack; Catch Basin; CCTV Camera; Fire Hydrant; Junction Box; Mailbox;
Manhole; Parking Meter; Phone Booth; Pothole; Signage - Advertisement; Signage - Ambiguous; Signage - Back;
Signage - Information; Signage - Other; Signage - Store; Street Light; Pole; Pole Group; Traffic Sign Frame;
Utility Pole; Traffic Cone; Traffic Light - General (Single); Traffic Light - Pedestrians;
Traffic Light - General (Upright); Traffic Light - General (Horizontal); Traffic Light - Cyclists;
Traffic Light - Other; Traffic Sign - Ambiguous; Traffic Sign (Back); Traffic Sign - Direction (Back);
Traffic Sign - Direction (Front); Traffic Sign (Front); Traffic Sign - Parking; Traffic Sign - Temporary (Back);
Traffic Sign - Temporary (Front); Trash Can; Bicycle; Boat; Bus; Car; Caravan; Motorcycle; On Rails; Other Vehicle;
Trailer; Truck; Vehicle Group; Wheeled Slow; Water Valve; Car Mount; Dynamic; Ego Vehicle; Ground; Static; Unlabeled
""",
    }.items()
}

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
