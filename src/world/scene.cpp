#include "world/scene.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace argosy::world {
namespace {

// The car touches what stands around, and nothing else touches anything.
constexpr int kCarBit = 1, kThingBit = 2;
// Layers of the floor, apart enough for the depth buffer and too thin to be seen.
constexpr double kRoad_m = 0.001, kDash_m = 0.002, kTape_m = 0.003;

/// Noise on a lattice of `cells` a side that closes on itself, smooth between the corners, in [0,
/// 1).
float smooth_noise(uint64_t seed, float x, float y, int cells) {
  const auto corner = [&](int i, int j) {
    const auto cell = static_cast<uint64_t>((j % cells) * cells + i % cells);
    return static_cast<float>(mix(seed, cell) >> 40) * 0x1p-24f;
  };
  const int i = static_cast<int>(x), j = static_cast<int>(y);
  float u = x - static_cast<float>(i), v = y - static_cast<float>(j);
  u = u * u * (3 - 2 * u);
  v = v * v * (3 - 2 * v);
  const float top = corner(i, j) + u * (corner(i + 1, j) - corner(i, j));
  const float low = corner(i, j + 1) + u * (corner(i + 1, j + 1) - corner(i, j + 1));
  return top + v * (low - top);
}

constexpr int kTextureSide = 256;
constexpr double kTextureSize_m = 2;  // of floor that a texture covers before it repeats

std::vector<uint8_t> painted(const FloorPattern& pattern, bool mirrored) {
  std::vector<uint8_t> pixels;
  pixels.reserve(size_t{3} * kTextureSide * kTextureSide);
  for (int row = 0; row < kTextureSide; ++row) {
    for (int column = 0; column < kTextureSide; ++column) {
      const int y = mirrored ? kTextureSide - 1 - row : row;
      const float fx = static_cast<float>(column) / kTextureSide,
                  fy = static_cast<float>(y) / kTextureSide;
      float level = pattern.patches * (2 * smooth_noise(pattern.seed, 5 * fx, 5 * fy, 5) - 1) +
                    pattern.grain * (2 * smooth_noise(pattern.seed + 1, 64 * fx, 64 * fy, 64) - 1);
      if (pattern.tiles > 0) {
        const int tile = kTextureSide / (pattern.tiles * static_cast<int>(kTextureSize_m));
        if (column % tile < 2 || y % tile < 2) level -= pattern.joint;
      }
      for (const float channel : pattern.colour)
        pixels.push_back(static_cast<uint8_t>(255 * std::clamp(channel * (1 + level), 0.0f, 1.0f)));
    }
  }
  return pixels;
}

class Builder {
 public:
  Builder(const Track& track, const Look& look, bool mirrored)
      : track_(track), look_(look), mirrored_(mirrored), spec_(mj_makeSpec()) {
    world_ = mjs_findBody(spec_.get(), "world");
  }

  ModelHolder build(std::span<const Obstacle> obstacles) {
    options();
    ground();
    surroundings();
    car();
    for (size_t i = 0; i < obstacles.size(); ++i) obstacle(obstacles[i], i);
    ModelHolder model(mj_compile(spec_.get(), nullptr));
    check(model != nullptr, "MuJoCo cannot compile the scene: {}", mjs_getError(spec_.get()));
    return model;
  }

 private:
  void options() {
    spec_->option.timestep = kPhysicsPeriod_s;
    spec_->option.gravity[2] = 0;  // the car has no joint to fall along
    spec_->visual.global.offwidth = spec_->visual.global.offheight = 2048;
    spec_->visual.quality.offsamples = 0;
    spec_->visual.quality.shadowsize = 0;
    spec_->visual.quality.numslices = 12;
    spec_->visual.quality.numstacks = 6;
    spec_->visual.quality.numquads = 1;
    spec_->stat.extent = 1;
    auto& head = spec_->visual.headlight;
    for (int i = 0; i < 3; ++i) {
      head.ambient[i] = look_.ambient[static_cast<size_t>(i)];
      head.diffuse[i] = 0.1f;
      head.specular[i] = 0;
    }
    mjsLight* sun = mjs_addLight(world_, nullptr);
    sun->type = mjLIGHT_DIRECTIONAL;
    sun->castshadow = 0;
    const double flat = std::cos(look_.light_height_rad);
    sun->dir[0] = -flat * std::cos(look_.light_heading_rad);
    sun->dir[1] = -flat * std::sin(look_.light_heading_rad);
    sun->dir[2] = -std::sin(look_.light_height_rad);
    for (size_t i = 0; i < 3; ++i) {
      sun->diffuse[i] = look_.light[i];
      sun->ambient[i] = sun->specular[i] = 0;
    }
    mjsTexture* sky = mjs_addTexture(spec_.get(), nullptr);
    sky->type = mjTEXTURE_SKYBOX;
    sky->builtin = mjBUILTIN_GRADIENT;
    sky->width = 32;
    sky->height = 192;
    for (size_t i = 0; i < 3; ++i) {
      sky->rgb1[i] = look_.sky[i];
      sky->rgb2[i] = look_.horizon[i];
    }
  }

  /// A floor's texture and the material that shows it; the name of the material.
  std::string material(const char* name, const FloorPattern& pattern) {
    mjsTexture* texture = mjs_addTexture(spec_.get(), nullptr);
    mjs_setName(texture->element, name);
    texture->type = mjTEXTURE_2D;
    texture->width = texture->height = kTextureSide;
    texture->nchannel = 3;
    const std::vector<uint8_t> pixels = painted(pattern, mirrored_);
    mjs_setBuffer(texture->data, pixels.data(), static_cast<int>(pixels.size()));
    mjsMaterial* material = mjs_addMaterial(spec_.get(), nullptr);
    mjs_setName(material->element, name);
    mjs_setInStringVec(material->textures, mjTEXROLE_RGB, name);
    material->specular = material->shininess = 0;
    return name;
  }

  void ground() {
    mjsGeom* floor = solid(world_, mjGEOM_PLANE, {1, 1, 1});
    floor->contype = floor->conaffinity = 0;
    constexpr double kHalf_m = 20;
    floor->size[0] = floor->size[1] = kHalf_m;
    floor->size[2] = 1;
    mjs_setString(floor->material, material("floor", look_.floor).c_str());
    // a texture covers kTextureSize_m of the plane, whose pattern begins at its corner
    mjsMaterial* pattern = mjs_asMaterial(mjs_findElement(spec_.get(), mjOBJ_MATERIAL, "floor"));
    pattern->texrepeat[0] = pattern->texrepeat[1] =
        static_cast<float>(2 * kHalf_m / kTextureSize_m);

    const auto half = [](const Station& station) { return station.half_width_m; };
    if (look_.paved) {
      mjsGeom* road =
          strip("road", half, [&](const Station& s) { return -half(s); }, kRoad_m, 0, 0);
      mjs_setString(road->material, material("road", look_.road).c_str());
    }
    const double tape = look_.tape_m;
    strip(
        "left edge", half, [&](const Station& s) { return half(s) - tape; }, kTape_m, 0, 0,
        look_.tape);
    strip(
        "right edge", [&](const Station& s) { return tape - half(s); },
        [&](const Station& s) { return -half(s); }, kTape_m, 0, 0, look_.tape);
    if (look_.dashes)
      strip(
          "dashes", [&](const Station&) { return tape / 2; },
          [&](const Station&) { return -tape / 2; }, kDash_m, look_.dash_length_m, look_.dash_gap_m,
          look_.dash);
  }

  /// A ribbon along the road from `left` to `right` of the centre line, whole or in dashes.
  template <typename Left, typename Right>
  mjsGeom* strip(const char* name, const Left& left, const Right& right, double height_m,
                 double dash_m, double gap_m, const Colour& colour = {1, 1, 1}) {
    const std::vector<Station>& stations = track_.stations();
    const size_t n = stations.size();
    std::vector<float> vertices, textures;
    std::vector<int> faces;
    const double period_m = dash_m + gap_m;
    const auto shown = [&](size_t i) {
      return period_m == 0 ||
             std::fmod(static_cast<double>(i) * track_.spacing_m(), period_m) < dash_m;
    };
    for (size_t i = 0; i < n; ++i) {
      const Station& station = stations[i];
      const Point across = left_of(direction(station.heading_rad));
      for (const double side : {left(station), right(station)}) {
        const Point p = station.position + side * across;
        vertices.insert(vertices.end(), {static_cast<float>(p.x_m), static_cast<float>(p.y_m),
                                         static_cast<float>(height_m)});
        textures.insert(textures.end(), {static_cast<float>(p.x_m / kTextureSize_m),
                                         static_cast<float>(p.y_m / kTextureSize_m)});
      }
      if (!shown(i)) continue;
      const int a = static_cast<int>(2 * i), b = static_cast<int>(2 * ((i + 1) % n));
      faces.insert(faces.end(), {a, a + 1, b + 1, a, b + 1, b});
    }
    mjsMesh* mesh = mjs_addMesh(spec_.get(), nullptr);
    mjs_setName(mesh->element, name);
    mesh->inertia = mjMESH_INERTIA_SHELL;  // it has no volume
    mjs_setFloat(mesh->uservert, vertices.data(), static_cast<int>(vertices.size()));
    mjs_setFloat(mesh->usertexcoord, textures.data(), static_cast<int>(textures.size()));
    mjs_setInt(mesh->userface, faces.data(), static_cast<int>(faces.size()));
    mjs_setInt(mesh->userfacetexcoord, faces.data(), static_cast<int>(faces.size()));
    mjsGeom* geom = solid(world_, mjGEOM_MESH, colour);
    mjs_setString(geom->meshname, name);
    geom->contype = geom->conaffinity = 0;
    return geom;
  }

  void surroundings() {
    if (look_.walls) {
      for (int axis = 0; axis < 2; ++axis)
        for (const double side : {-1.0, 1.0}) {
          Colour shade = look_.wall;
          for (float& channel : shade) channel *= axis == 0 ? 1.0f : 0.92f;
          mjsGeom* wall = solid(world_, mjGEOM_BOX, shade);
          wall->size[axis] = 0.05;
          wall->size[1 - axis] = look_.room_m[1 - axis] + 0.1;
          wall->size[2] = 1.2;
          wall->pos[axis] = side * (look_.room_m[axis] + 0.05);
          wall->pos[2] = 1.2;
          wall->group = kWallGroup;
        }
    }
    for (const Clutter& one : look_.clutter) {
      const bool ball = one.shape == Clutter::Shape::ball, box = one.shape == Clutter::Shape::box;
      mjsGeom* geom = solid(world_,
                            ball  ? mjGEOM_ELLIPSOID
                            : box ? mjGEOM_BOX
                                  : mjGEOM_CYLINDER,
                            one.colour);
      geom->pos[0] = one.position.x_m;
      geom->pos[1] = one.position.y_m;
      geom->pos[2] = one.half_height_m;
      geom->quat[0] = std::cos(one.turn_rad / 2);
      geom->quat[3] = std::sin(one.turn_rad / 2);
      geom->size[0] = one.half_size_m;
      geom->size[1] = box ? 0.7 * one.half_size_m : ball ? one.half_size_m : one.half_height_m;
      geom->size[2] = one.half_height_m;
    }
  }

  /// The look of a car on a body: a hull, a cabin, four wheels.
  void hull(mjsBody* body, double length_m, double width_m, const Colour& colour, int group,
            int contype, int conaffinity) {
    const auto box = [&](double x, double z, double a, double b, double c, const Colour& paint) {
      mjsGeom* geom = solid(body, mjGEOM_BOX, paint);
      geom->pos[0] = x;
      geom->pos[2] = z;
      geom->size[0] = a;
      geom->size[1] = b;
      geom->size[2] = c;
      geom->group = group;
      geom->contype = geom->conaffinity = 0;
      return geom;
    };
    mjsGeom* whole = box(0, 0.065, length_m / 2, width_m / 2, 0.03, colour);
    whole->contype = contype;
    whole->conaffinity = conaffinity;
    box(-0.03, 0.12, length_m / 5, width_m / 2.6, 0.03, {0.15f, 0.17f, 0.2f});
    for (const double x : {-1.0, 1.0})
      for (const double y : {-1.0, 1.0}) {
        mjsGeom* wheel = solid(body, mjGEOM_CYLINDER, {0.05f, 0.05f, 0.05f});
        wheel->pos[0] = x * length_m * 0.33;
        wheel->pos[1] = y * width_m * 0.46;
        wheel->pos[2] = 0.035;
        wheel->quat[0] = wheel->quat[1] = std::sqrt(0.5);
        wheel->size[0] = 0.035;
        wheel->size[1] = 0.02;
        wheel->group = group;
        wheel->contype = wheel->conaffinity = 0;
      }
  }

  void car() {
    const CarParameters& car = look_.car;
    mjsBody* body = mjs_addBody(world_, nullptr);
    for (int joint = 0; joint < 3; ++joint) {
      mjsJoint* one = mjs_addJoint(body, nullptr);
      one->type = joint < 2 ? mjJNT_SLIDE : mjJNT_HINGE;
      for (int axis = 0; axis < 3; ++axis) one->axis[axis] = axis == joint;
    }
    body->explicitinertial = 1;
    body->mass = car.mass_kg;
    for (double& moment : body->inertia) moment = car.yaw_inertia_kgm2;
    hull(body, car.length_m, car.width_m, {0.85f, 0.15f, 0.1f}, kCarGroup, kCarBit, kThingBit);
  }

  void obstacle(const Obstacle& one, size_t index) {
    mjsBody* body = mjs_addBody(world_, nullptr);
    body->mocap = 1;
    static constexpr Colour kColours[] = {
        {0.95f, 0.45f, 0.05f}, {0.1f, 0.35f, 0.8f}, {0.8f, 0.1f, 0.1f}, {0.2f, 0.6f, 0.25f}};
    const Colour& colour = kColours[index % std::size(kColours)];
    if (one.speed_mps > 0) {
      hull(body, one.length_m, one.width_m, colour, 0, kThingBit, kCarBit);
      return;
    }
    mjsGeom* geom = solid(body, index % 2 ? mjGEOM_CYLINDER : mjGEOM_BOX, colour);
    geom->pos[2] = 0.08;
    geom->size[0] = one.width_m / 2;
    geom->size[1] = index % 2 ? 0.08 : one.width_m / 2;
    geom->size[2] = 0.08;
  }

  mjsGeom* solid(mjsBody* body, mjtGeom type, const Colour& colour) {
    mjsGeom* geom = mjs_addGeom(body, nullptr);
    geom->type = type;
    for (size_t i = 0; i < 3; ++i) geom->rgba[i] = colour[i];
    geom->rgba[3] = 1;
    geom->contype = kThingBit;
    geom->conaffinity = kCarBit;
    return geom;
  }

  const Track& track_;
  const Look& look_;
  bool mirrored_;
  SpecHolder spec_;
  mjsBody* world_;
};

}  // namespace

ModelHolder build_scene(const Track& track, const Look& look, std::span<const Obstacle> obstacles,
                        bool mirrored) {
  return Builder(track, look, mirrored).build(obstacles);
}

}  // namespace argosy::world
